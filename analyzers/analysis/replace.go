// SPDX-License-Identifier: Apache-2.0

package analysis

import "slices"

// Replace adds the findings that which accepts from another result of the same
// window, and removes r's own of them: they come from the same analyzer with other
// thresholds.
func (r *Result) Replace(from *Result, which func(*Finding) bool) {
	r.Findings = slices.DeleteFunc(r.Findings, which)
	for _, f := range from.Findings {
		if which(f) {
			f.SymptomOf = r.same(f.SymptomOf)
			r.Findings = append(r.Findings, f)
		}
	}
	for _, f := range r.Findings {
		f.SymptomOf = r.same(f.SymptomOf)
	}
	order(r.Findings)
}

// same returns the finding in r that corresponds to f of another result; nil if
// there is none.
func (r *Result) same(f *Finding) *Finding {
	if f == nil {
		return nil
	}
	for _, o := range r.Findings {
		if o.Analyzer == f.Analyzer && o.Cause == f.Cause && (o.Subject == f.Subject || slices.Contains(o.about(), f.about()[0])) {
			return o
		}
	}
	return nil
}
