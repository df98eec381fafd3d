// SPDX-License-Identifier: Apache-2.0

package eventloopsaturated

import (
	"math"
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

// sampled adds functions with their seconds to a loop whose samples stand for so many
// seconds in all.
func sampled(h *handmade.Host, loop observe.ID, seconds float64, functions map[string]float64) {
	h.Set(catalog.LoopSampled, loop, seconds)
	for name, took := range functions {
		code := h.Add(observe.Code, "42:1/42/"+name, loop, catalog.AttrFunction, name, catalog.AttrCodeFile, "/app/server.js", catalog.AttrLine, "12")
		h.Pair(catalog.LoopIn, loop, code, took)
	}
}

// TestFunctionsOfABusyLoop checks which functions a finding names, and how much cheaper the
// first must become: the loop is 80 % busy, planned are 65 %.
func TestFunctionsOfABusyLoop(t *testing.T) {
	for _, c := range []struct {
		name      string
		sampled   float64
		functions map[string]float64
		named     string
		part      float64 // by which the function must become cheaper, 0 for none
	}{
		{"half of it", 7.6, map[string]float64{"render": 4.75, "sortRows": 2.3}, "`render` at server.js:12 has 62% of the samples", 0.3},
		{"less than is too much", 7.6, map[string]float64{"render": 2.4}, "`render`", 0},
		{"many small ones", 7.6, map[string]float64{"render": 1.9, "sortRows": 1.9}, "", 0},
		{"few samples", 1.9, map[string]float64{"render": 1.9}, "", 0},
		{"no samples", 0, nil, "", 0},
	} {
		h, loop := server(t, 2.9, 4000, 0.002)
		h.Set(catalog.LoopCPU, loop, 8)
		sampled(h, loop, c.sampled, c.functions)
		f := h.One(Analyzer)
		if named := strings.Contains(f.Summary, "of the samples of its time"); named != (c.named != "") || !strings.Contains(f.Summary, c.named) {
			t.Errorf("%s: summary %q, want that it names %q", c.name, f.Summary, c.named)
		}
		if more := len(f.Recommendations) == 2; more != (c.named != "") || f.Recommendations[0].Verb != analysis.AddProcesses {
			t.Errorf("%s: advice %+v, want about a function: %v", c.name, f.Recommendations, c.named != "")
			continue
		}
		if c.part == 0 {
			continue
		}
		if r := f.Recommendations[1]; r.Verb != analysis.ReduceWork || math.Abs(r.Quantity.Value-c.part) > 0.01 || math.Abs(r.Expect[0].To-0.65) > 0.001 {
			t.Errorf("%s: advice %+v, want %v cheaper", c.name, r, c.part)
		}
	}
}

// TestFunctionsOfALoopThatBlocks checks that no function is named for a loop whose ticks
// wait in a call: the samples are of its time on the CPU.
func TestFunctionsOfALoopThatBlocks(t *testing.T) {
	h, loop := server(t, 2.9, 4000, 0.002)
	h.Set(catalog.LoopCPU, loop, 2.5)
	call := h.Add(observe.Call, "42:1/42/fsync", loop, catalog.AttrCall, "fsync", catalog.AttrTarget, catalog.TargetFile)
	h.Pair(catalog.LoopBlockedOn, loop, call, 5)
	sampled(h, loop, 2.4, map[string]float64{"render": 2.3})
	f := h.One(Analyzer)
	if f == nil || f.Cause != blockingCall || len(f.Culprits) > 0 || strings.Contains(f.Summary, "render") {
		t.Errorf("finding = %+v, want %s and no function", f, blockingCall)
	}
}
