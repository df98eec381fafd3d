// SPDX-License-Identifier: Apache-2.0

package closewaitleak

import (
	"math"
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
	"github.com/headroom-project/headroom/analyzers/eventloopblocked"
	"github.com/headroom-project/headroom/analyzers/fdexhaustion"
)

// server returns a listening process with closeWait(second) connections in
// CLOSE_WAIT.
func server(t *testing.T, closeWait func(second int) float64) (*handmade.Host, observe.ID) {
	h := handmade.New(t, 10, 2)
	process := h.Process("42", "python", "python3 app.py", observe.None)
	h.Set(catalog.ProcessListens, process, 1)
	h.Each(catalog.ProcessCloseWait, process, closeWait)
	return h, process
}

// limited sets the limit of descriptors of a process, and their number: base plus
// the connections.
func limited(h *handmade.Host, process observe.ID, limit, base float64, closeWait func(int) float64) {
	h.Set(catalog.ProcessFDLimit, process, limit)
	h.Set(catalog.ProcessFDHardLimit, process, limit)
	h.Set(catalog.ProcessEstablished, process, 2)
	h.Each(catalog.ProcessFDs, process, func(s int) float64 { return min(limit, base+closeWait(s)) })
}

func steady(from, perSecond float64) func(int) float64 {
	return func(s int) float64 { return from + perSecond*float64(s) }
}

func TestConnectionsThatStay(t *testing.T) {
	for _, c := range []struct {
		count float64
		found bool
	}{{19, false}, {20, true}} {
		h, _ := server(t, steady(c.count, 0))
		f := h.One(Analyzer)
		if (f != nil) != c.found {
			t.Errorf("%v that stay: finding = %v, want %v", c.count, f != nil, c.found)
		}
		if f != nil && (f.Severity != analysis.Warning || f.Forecast != nil) {
			t.Errorf("finding = %s with forecast %v, want a warning without", f.Severity, f.Forecast)
		}
	}
}

func TestGrowthIsForecast(t *testing.T) {
	h, process := server(t, steady(30, 2))
	limited(h, process, 1024, 30, steady(30, 2))
	f := h.One(Analyzer)
	if f == nil || f.Severity != analysis.Critical || f.Forecast == nil || math.Abs(f.Forecast.At-472) > 1 {
		t.Fatalf("finding = %+v, want critical with 472 s ahead", f)
	}
	if q := f.Recommendations[0].Quantity; q == nil || q.Value != 7200 {
		t.Errorf("quantity = %+v, want 7200 an hour", q)
	}
	t.Logf("%s\n-> %s", f.Summary, f.Recommendations[0].Action)
}

func TestClosesThatPassAreSilent(t *testing.T) {
	for name, closeWait := range map[string]func(int) float64{
		"a burst that is closed":          func(s int) float64 { return map[bool]float64{true: 200}[s == 7 || s == 8] },
		"a burst at the very end":         func(s int) float64 { return map[bool]float64{true: 200}[s >= 8] },
		"many that come and go":           func(s int) float64 { return 30 + 15*float64(s%2) },
		"a restart of all of its clients": func(s int) float64 { return max(0, 300-60*float64(s)) },
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := server(t, closeWait)
			if f := h.One(Analyzer); f != nil {
				t.Errorf("finding: %s", f.Summary)
			}
		})
	}
}

// TestDescriptorsRunOutByThem checks that fd-exhaustion is a symptom of the leak,
// both before the limit is reached and at it.
func TestDescriptorsRunOutByThem(t *testing.T) {
	for name, c := range map[string]struct {
		limit     float64
		closeWait func(int) float64
	}{
		"growing":   {1024, steady(30, 3)},
		"exhausted": {256, steady(226, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			h, process := server(t, c.closeWait)
			limited(h, process, c.limit, 30, c.closeWait)
			r := h.Run(fdexhaustion.Analyzer, Analyzer)
			if len(r.Findings) != 2 {
				t.Fatalf("%d findings, want 2", len(r.Findings))
			}
			root, symptom := r.Findings[0], r.Findings[1]
			if root.Analyzer != Analyzer || symptom.SymptomOf != root || root.Severity != analysis.Critical {
				t.Errorf("%s %s first, and %s is a symptom of %v", root.Severity, root.Analyzer.Name, symptom.Analyzer.Name, symptom.SymptomOf)
			}
			if symptom.Cause != "leak" {
				t.Errorf("cause of the descriptors = %s, want leak", symptom.Cause)
			}
			t.Logf("%s\n%s", root.Summary, symptom.Summary)
		})
	}
}

func TestFilesRunOutBesideThem(t *testing.T) {
	h, process := server(t, steady(30, 0))
	limited(h, process, 1024, 30, steady(30, 40))
	r := h.Run(fdexhaustion.Analyzer, Analyzer)
	for _, f := range r.Findings {
		if f.SymptomOf != nil {
			t.Errorf("%s is a symptom of %s, which has 30 of 430", f.Analyzer.Name, f.SymptomOf.Analyzer.Name)
		}
	}
}

func TestHangingLoopClosesNothing(t *testing.T) {
	h, process := server(t, steady(40, 3))
	loop := h.Loop(process)
	h.Set(catalog.LoopTicks, loop, 3)
	h.Set(catalog.CurrentTick, loop, 16)
	h.Set(catalog.CurrentCPU, loop, 16)
	for _, f := range h.Run(eventloopblocked.Analyzer, Analyzer).Findings {
		if f.Analyzer == Analyzer && (f.SymptomOf == nil || f.SymptomOf.Analyzer != eventloopblocked.Analyzer) {
			t.Errorf("%s is no symptom of the hang", f.Summary)
		}
	}
}

func TestAdviceSpeaksTheRuntime(t *testing.T) {
	h, _ := server(t, steady(40, 0))
	if f := h.One(Analyzer); !strings.Contains(f.Recommendations[0].Action, "recv") {
		t.Errorf("action = %s", f.Recommendations[0].Action)
	}
}
