// SPDX-License-Identifier: Apache-2.0

package report

import (
	"slices"
	"testing"

	"github.com/headroom-project/headroom/analyzers/analysis"
)

// TestArrange checks the order of an agent's findings, which come from several windows
// and get their final severities after the driver has sorted them.
func TestArrange(t *testing.T) {
	left := func(seconds float64) *Forecast { return &Forecast{AtSeconds: number(seconds)} }
	fs := []*Finding{
		{Key: "info", Severity: Severity(analysis.Info)},
		{Key: "symptom", Severity: Severity(analysis.Critical), SymptomOf: &Ref{Key: "warning"}},
		{Key: "warning", Severity: Severity(analysis.Warning), Impact: 1, Confidence: 1},
		{Key: "later", Severity: Severity(analysis.Critical), Forecast: left(600), Impact: 1, Confidence: 1},
		{Key: "orphan", Severity: Severity(analysis.Critical), SymptomOf: &Ref{Key: "resolved"}},
		{Key: "soon", Severity: Severity(analysis.Critical), Forecast: left(35)},
	}
	Arrange(fs)
	if got, want := keysOf(fs), []string{"soon", "later", "orphan", "warning", "symptom", "info"}; !slices.Equal(got, want) {
		t.Errorf("order = %v, want %v", got, want)
	}
	if got, want := keysOf(Roots(fs)), []string{"soon", "later", "orphan", "warning", "info"}; !slices.Equal(got, want) {
		t.Errorf("root causes = %v, want %v: the cause of the orphan is not in the report", got, want)
	}
}

func keysOf(fs []*Finding) []string {
	var keys []string
	for _, f := range fs {
		keys = append(keys, f.Key)
	}
	return keys
}
