// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// undeclared returns an error for values in f that its analyzer does not declare: a
// cause, a verb, or time lost to a name that is not in SymptomOf, which could never
// explain the finding.
func (f *Finding) undeclared() error {
	var errs []error
	if !slices.Contains(f.Analyzer.Causes, f.Cause) {
		errs = append(errs, fmt.Errorf("cause %q is not in Causes", f.Cause))
	}
	for _, r := range f.Recommendations {
		if !slices.Contains(f.Analyzer.Verbs, r.Verb) {
			errs = append(errs, fmt.Errorf("verb %q is not in Verbs", r.Verb))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(f.Lost)) {
		if name, _, _ := strings.Cut(key, "/"); !slices.Contains(f.Analyzer.SymptomOf, name) {
			errs = append(errs, fmt.Errorf("lost time %q is not in SymptomOf", key))
		}
	}
	return errors.Join(errs...)
}
