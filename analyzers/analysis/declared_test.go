// SPDX-License-Identifier: Apache-2.0

package analysis_test

import (
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

// TestUndeclaredWordsAreReported checks that each word that an analyzer uses and
// does not declare becomes a gap. The tests of analyzers fail on such a gap.
func TestUndeclaredWordsAreReported(t *testing.T) {
	declared := analysis.Finding{
		Cause:           "limit",
		Lost:            map[string]float64{"cpu-throttled": 1, "host-saturated/cpu": 1},
		Recommendations: []analysis.Recommendation{{Verb: analysis.AddNodes}},
	}
	for _, c := range []struct {
		name, want string
		change     func(*analysis.Finding)
	}{
		{"declared", "", func(*analysis.Finding) {}},
		{"cause", `cause "other" is not in Causes`, func(f *analysis.Finding) { f.Cause = "other" }},
		{"verb", `verb "fix-leak" is not in Verbs`, func(f *analysis.Finding) { f.Recommendations[0].Verb = analysis.FixLeak }},
		{"lost time", `lost time "host-full/cpu" is not in SymptomOf`, func(f *analysis.Finding) { f.Lost = map[string]float64{"host-full/cpu": 1} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := declared
			f.Recommendations = append([]analysis.Recommendation(nil), declared.Recommendations...)
			c.change(&f)
			a := &analysis.Analyzer{
				Name: "test", Causes: []string{"limit"}, Verbs: []analysis.Verb{analysis.AddNodes},
				SymptomOf: []string{"cpu-throttled", "host-saturated"},
				Run:       func(*analysis.Pass) []analysis.Finding { return []analysis.Finding{f} },
			}
			r := analysis.Run([]*analysis.Analyzer{a}, observe.NewWindow(observe.NewIndex(1)), observe.Host{}, analysis.Options{})
			var got string
			for _, g := range r.Gaps {
				got += g.Reason
			}
			if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
				t.Errorf("gaps say %q, want %q", got, c.want)
			}
		})
	}
}
