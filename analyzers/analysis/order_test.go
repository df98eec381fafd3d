// SPDX-License-Identifier: Apache-2.0

package analysis_test

import (
	"math"
	"slices"
	"testing"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

func TestRankFallsWithTheTimeThatIsLeft(t *testing.T) {
	for left, want := range map[float64]float64{60: 1, 12 * 3600: 0.52, 30 * 86400: 0.1} {
		s := analysis.Standing{Impact: 1, Confidence: 1, Left: &left}
		if got := math.Round(100*s.Rank()) / 100; got != want {
			t.Errorf("rank with %g s left = %g, want %g", left, got, want)
		}
	}
}

// finds is an analyzer with these findings.
func finds(name string, fs ...analysis.Finding) *analysis.Analyzer {
	a := &analysis.Analyzer{Name: name, Run: func(*analysis.Pass) []analysis.Finding { return fs }}
	for _, f := range fs {
		a.Causes = append(a.Causes, f.Cause)
		for lost := range f.Lost {
			a.SymptomOf = append(a.SymptomOf, lost)
		}
	}
	return a
}

// TestOrder: a leak with 35 s left was the fourth of four. Severity comes first,
// then the time that is left, then rank; symptoms are behind their cause.
func TestOrder(t *testing.T) {
	at := func(seconds float64) *analysis.Forecast { return &analysis.Forecast{What: "limit", At: seconds} }
	h := handmade.New(t, 10, 2)
	host := h.Node()
	r := h.Run(
		finds("late", analysis.Finding{Cause: "later", Severity: analysis.Critical, Impact: 1, Confidence: 1, Subject: host, Forecast: at(3 * 3600)}),
		finds("note", analysis.Finding{Cause: "noted", Severity: analysis.Info, Impact: 1, Confidence: 1, Subject: host, Forecast: at(1)}),
		finds("mild", analysis.Finding{Cause: "mild", Severity: analysis.Warning, Impact: 1, Confidence: 1, Subject: host}),
		finds("symptom", analysis.Finding{Cause: "symptom", Severity: analysis.Critical, Impact: 1, Confidence: 1, Subject: host,
			Lost: map[string]float64{"mild": 1}, LostTotal: 1, Without: func([]string) bool { return false }}),
		finds("now", analysis.Finding{Cause: "slight", Severity: analysis.Critical, Impact: 0.2, Confidence: 1, Subject: host},
			analysis.Finding{Cause: "heavy", Severity: analysis.Critical, Impact: 0.9, Confidence: 1, Subject: host}),
		finds("leak", analysis.Finding{Cause: "minutes", Severity: analysis.Critical, Impact: 0.1, Confidence: 1, Subject: host, Forecast: at(600)},
			analysis.Finding{Cause: "seconds", Severity: analysis.Critical, Impact: 0.05, Confidence: 0.5, Subject: host, Forecast: at(35)}),
	)
	var got []string
	for _, f := range r.Findings {
		got = append(got, f.Cause)
	}
	if want := []string{"seconds", "minutes", "heavy", "slight", "later", "mild", "symptom", "noted"}; !slices.Equal(got, want) {
		t.Errorf("order = %v, want %v", got, want)
	}
}

// TestVerdictIsOfRootCauses: a report said critical above one warning, whose
// symptom was critical.
func TestVerdictIsOfRootCauses(t *testing.T) {
	root := &analysis.Finding{Severity: analysis.Warning}
	r := &analysis.Result{Window: observe.NewWindow(observe.NewIndex(1)),
		Findings: []*analysis.Finding{root, {Severity: analysis.Critical, SymptomOf: root}}}
	if r.Worst() != analysis.Warning || r.Verdict() != "warning" {
		t.Errorf("worst = %s, verdict = %s, want warning: the symptom ends with its cause", r.Worst(), r.Verdict())
	}
	r.Findings = append(r.Findings, &analysis.Finding{Severity: analysis.Critical})
	if r.Worst() != analysis.Critical {
		t.Errorf("worst = %s, want critical: it is a root cause", r.Worst())
	}
}
