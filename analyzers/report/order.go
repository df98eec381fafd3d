// SPDX-License-Identifier: Apache-2.0

package report

import "github.com/headroom-project/headroom/analyzers/analysis"

// Arrange sorts findings as the driver does, for a caller that changed their
// severities or combines findings of several windows.
func Arrange(fs []*Finding) {
	analysis.Arrange(fs, rootsAmong(fs), (*Finding).standing)
}

// Roots returns the findings that no other finding in fs explains, in their order.
func Roots(fs []*Finding) []*Finding {
	root := rootsAmong(fs)
	var roots []*Finding
	for _, f := range fs {
		if root(f) == f {
			roots = append(roots, f)
		}
	}
	return roots
}

// rootsAmong returns a function that returns the root cause of a finding in fs. A
// symptom whose cause is not in fs is its own root cause: no other finding would
// mention it.
func rootsAmong(fs []*Finding) func(*Finding) *Finding {
	byKey := make(map[string]*Finding, len(fs))
	for _, f := range fs {
		byKey[f.Key] = f
	}
	return func(f *Finding) *Finding {
		if f.SymptomOf != nil {
			if root := byKey[f.SymptomOf.Key]; root != nil {
				return root
			}
		}
		return f
	}
}

func (f *Finding) standing() analysis.Standing {
	s := analysis.Standing{Severity: analysis.Severity(f.Severity), Impact: float64(f.Impact), Confidence: float64(f.Confidence), ID: f.ID}
	if f.Forecast != nil {
		left := float64(f.Forecast.AtSeconds)
		s.Left = &left
	}
	return s
}
