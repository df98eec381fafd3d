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

// finds returns an analyzer that returns these findings.
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

// TestOrder checks the order of findings: by severity, then by the time left, then
// by rank, with symptoms after their cause. Without the second, a leak with 35 s
// left would be the last of four.
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

// TestHarmIsNoSymptomOfANote checks that a warning stays a finding of its own if its cause
// is only a note, and that a note does not.
func TestHarmIsNoSymptomOfANote(t *testing.T) {
	for severity, folded := range map[analysis.Severity]bool{analysis.Info: true, analysis.Warning: false, analysis.Critical: false} {
		h := handmade.New(t, 10, 2)
		r := h.Run(
			finds("note", analysis.Finding{Cause: "noted", Severity: analysis.Info, Impact: 1, Confidence: 1, Subject: h.Node()}),
			finds("harm", analysis.Finding{Cause: "harm", Severity: severity, Impact: 1, Confidence: 1, Subject: h.Node(),
				Lost: map[string]float64{"note": 1}, LostTotal: 1, Without: func([]string) bool { return false }}))
		for _, f := range r.Findings {
			if f.Cause == "harm" && (f.SymptomOf != nil) != folded {
				t.Errorf("%s: folded below a note: %t, want %t", severity, f.SymptomOf != nil, folded)
			}
		}
		if !folded && r.Worst() != severity {
			t.Errorf("verdict %s, want %s", r.Verdict(), severity)
		}
	}
}

// TestVerdictIsOfRootCauses checks that a critical symptom does not make the verdict
// critical if its cause is a warning.
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
