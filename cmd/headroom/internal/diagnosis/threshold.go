// SPDX-License-Identifier: Apache-2.0

package diagnosis

import (
	"fmt"
	"slices"
	"strings"

	"github.com/headroom-project/headroom/analyzers/analysis"
)

// Never is the name of the threshold that no finding reaches.
const Never = "never"

// Thresholds are the names of all thresholds.
var Thresholds = []string{analysis.Info.String(), analysis.Warning.String(), analysis.Critical.String(), Never}

// A Threshold is the lowest severity of a root cause with which a diagnosis counts as
// failed.
type Threshold struct{ name string }

// ParseThreshold returns the threshold with a name.
func ParseThreshold(name string) (Threshold, error) {
	if !slices.Contains(Thresholds, name) {
		return Threshold{}, fmt.Errorf("%s: unknown severity (known: %s)", name, strings.Join(Thresholds, ", "))
	}
	return Threshold{name}, nil
}

// Reached reports whether a root cause of a result has the severity or a higher one.
func (t Threshold) Reached(r *analysis.Result) bool {
	least, err := analysis.ParseSeverity(t.name)
	return err == nil && r.Worst() >= least // Never is no severity
}
