// SPDX-License-Identifier: Apache-2.0

package analysis_test

import (
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

// TestABugOfOneIsASkip: an analyzer that panics is told as a question without an
// answer, and the others are asked.
func TestABugOfOneIsASkip(t *testing.T) {
	h := handmade.New(t, 1, 2)
	process := h.Process("42", "node", "node server.js", observe.None)
	broken := &analysis.Analyzer{Name: "broken", Run: func(*analysis.Pass) []analysis.Finding {
		var none []int
		return make([]analysis.Finding, none[0])
	}}
	sound := &analysis.Analyzer{Name: "sound", Run: func(*analysis.Pass) []analysis.Finding {
		return []analysis.Finding{{Severity: analysis.Warning, Confidence: 1, Impact: 1, Subject: process}}
	}}
	r := analysis.Run([]*analysis.Analyzer{broken, sound}, h.Window(), observe.Host{}, analysis.Options{})
	if len(r.Findings) != 1 || r.Findings[0].Analyzer != sound {
		t.Errorf("findings = %+v, want that of the sound one", r.Findings)
	}
	if len(r.Skipped) != 1 || r.Skipped[0].Analyzer != broken || !strings.Contains(r.Skipped[0].Reason, "index out of range") {
		t.Errorf("skipped = %+v, want the broken one and why", r.Skipped)
	}
}
