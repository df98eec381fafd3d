// SPDX-License-Identifier: Apache-2.0

package eventloopblocked

import (
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// beside returns a host with a loop that often waits for a CPU for a short time. Its
// six longest ticks take 339 ms each, of which own is not waiting for a CPU.
func beside(t *testing.T, own observe.Parts) *handmade.Host {
	h, _, loop := server(t, "node")
	const waits, wait, stalls, longest = 60, 0.06, 6, 0.339
	own.RunQueue = longest - own.Total()
	h.Set(catalog.LoopTicks, loop, 500)
	h.Set(catalog.LoopBusy, loop, waits*wait+stalls*longest)
	h.Set(catalog.LoopWait, loop, 10-waits*wait-stalls*longest)
	h.Hist(catalog.LoopLag, loop, wait, waits)
	h.Hist(catalog.LoopLag, loop, longest, stalls)
	h.Set(catalog.LongTicks, loop, waits+stalls)
	h.Set(catalog.LongCPU, loop, waits*0.002+stalls*own.CPU)
	h.Set(catalog.LongBlocked, loop, stalls*own.Blocked)
	h.Set(catalog.LongRunQueue, loop, waits*(wait-0.002)+stalls*own.RunQueue)
	for range stalls {
		h.Stall(observe.Stall{Loop: loop, Duration: longest, Parts: own})
	}
	return h
}

// TestOwnComputingStands checks that a loop whose longest ticks compute for 274 of
// 339 ms is not a symptom of the neighbour that took the rest of them, and most of
// the shorter ticks.
func TestOwnComputingStands(t *testing.T) {
	neighbour := &analysis.Analyzer{Name: "run-queue-latency", Causes: []string{"noisy-neighbour"}, Run: facts.Run(func(p *facts.Pass) []analysis.Finding {
		return []analysis.Finding{{Cause: "noisy-neighbour", Severity: analysis.Critical, Impact: 1, Confidence: 1, Subject: p.Loops()[0].Process}}
	})}
	for _, c := range []struct {
		name   string
		own    observe.Parts
		stands bool
	}{
		{"computes for 274 ms", observe.Parts{CPU: 0.274}, true},
		{"computes and blocks for 274 ms", observe.Parts{CPU: 0.15, Blocked: 0.124}, true},
		{"computes for 120 ms", observe.Parts{CPU: 0.120}, false},
	} {
		var blocked *analysis.Finding
		for _, f := range beside(t, c.own).Run(Analyzer, neighbour).Findings {
			if f.Analyzer == Analyzer {
				blocked = f
			}
		}
		if blocked == nil || blocked.Severity != analysis.Critical || (blocked.SymptomOf == nil) != c.stands {
			t.Errorf("%s: finding = %+v, want critical, by itself: %v", c.name, blocked, c.stands)
		}
	}
}
