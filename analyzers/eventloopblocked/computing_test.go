// SPDX-License-Identifier: Apache-2.0

package eventloopblocked

import (
	"slices"
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

// TestComputingHasAnAnswerThatFits checks the advice for computing: a worker thread
// does not help a full loop, nor a loop on a host without an idle core.
func TestComputingHasAnAnswerThatFits(t *testing.T) {
	for _, c := range []struct {
		name            string
		runtime         string
		ticks, seconds  float64
		idle            float64
		want            []analysis.Verb
		quantity, least float64 // of the first recommendation
	}{
		{"an idle core", "node", 5, 0.2, 1, []analysis.Verb{analysis.MoveToWorkerThreads}, 1, 0.001},
		{"a hang", "node", 1, 9.9, 1, []analysis.Verb{analysis.MoveToWorkerThreads}, 1, 0.001},
		{"requests that queue up", "node", 24, 0.4, 1, []analysis.Verb{analysis.AddProcesses}, 1, 0.4},
		{"in Bun", "bun", 24, 0.4, 1, []analysis.Verb{analysis.AddProcesses}, 1, 0.4},
		{"in a JVM, whose loops are threads", "jvm", 24, 0.4, 1, []analysis.Verb{analysis.MoveToWorkerThreads}, 1, 0.001},
		{"no idle core", "node", 5, 0.2, 0.1, []analysis.Verb{analysis.ReduceWork}, 0, 0.05},
		{"no idle core for a pool", "python", 5, 0.2, 0.1, []analysis.Verb{analysis.ReduceWork}, 0, 0.05},
		{"no idle core, and a full loop", "node", 24, 0.4, 0.1, []analysis.Verb{analysis.AddNodes, analysis.ReduceWork}, 1, 0.4},
		{"no idle core for redis", "redis", 5, 0.2, 0.1, []analysis.Verb{analysis.MakeAsync}, 0, 0.001},
	} {
		h, _, loop := server(t, c.runtime)
		h.Idle(c.idle)
		h.Ticks(loop, c.ticks, c.seconds, observe.Parts{CPU: c.ticks * c.seconds})
		f := h.One(Analyzer)
		if f == nil {
			t.Errorf("%s: no finding", c.name)
			continue
		}
		var got []analysis.Verb
		for _, r := range f.Recommendations {
			got = append(got, r.Verb)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: advice %v, want %v", c.name, got, c.want)
			continue
		}
		first := f.Recommendations[0]
		if q := first.Quantity; q == nil && c.quantity != 0 || q != nil && q.Value != c.quantity {
			t.Errorf("%s: quantity %+v, want %g", c.name, q, c.quantity)
		}
		if to := first.Expect[0].To; to < c.least || to >= first.Expect[0].From {
			t.Errorf("%s: expect %g to %g, want at least %g", c.name, first.Expect[0].From, to, c.least)
		}
		t.Logf("%s: %s", c.name, first.Action)
	}
}

// TestProcessesOfAPool checks that the number of processes is for the whole service,
// as in worker-count-mismatch.
func TestProcessesOfAPool(t *testing.T) {
	h := handmade.New(t, 10, 4)
	h.Idle(2)
	for _, pid := range []string{"41", "42"} {
		p := h.Process(pid, "node", "node server.js", observe.None, catalog.AttrOwner, "service shop")
		h.Set(catalog.ProcessListens, p, 1)
		h.Ticks(h.Loop(p), 24, 0.4, observe.Parts{CPU: 9.6})
	}
	r := h.One(Analyzer).Recommendations[0]
	if want := "Run 3 processes of node server.js, 1 process more: requests queue up for its event loop, which is full"; r.Action != want {
		t.Errorf("action = %q, want %q", r.Action, want)
	}
}

// TestTimeInTheKernel checks that a loop that spends its CPU time in system calls,
// such as openSync, is advised to make fewer of them, not to use a worker thread.
func TestTimeInTheKernel(t *testing.T) {
	for _, c := range []struct {
		name         string
		runtime      string
		used, system float64
		want         analysis.Verb
		said         bool
	}{
		{"half of it", "node", 1, 0.53, analysis.ReduceWork, true},
		{"half of it, in python", "python", 1, 0.53, analysis.ReduceWork, true},
		{"nginx", "nginx", 1, 0.9, analysis.AddProcesses, true},
		{"little of it", "node", 1, 0.05, analysis.MoveToWorkerThreads, false},
		{"short ticks have most of the CPU time", "node", 4, 2, analysis.MoveToWorkerThreads, false},
	} {
		h, process, loop := server(t, c.runtime)
		h.Ticks(loop, 5, 0.2, observe.Parts{CPU: 1})
		thread := h.Add(observe.Thread, "42:1/42", process, catalog.AttrTID, "42")
		h.Set(catalog.ThreadCPU, thread, c.used)
		h.Set(catalog.ThreadSystem, thread, c.system)
		f := h.One(Analyzer)
		want(t, f, analysis.Warning, onCPU, c.want)
		if said := strings.Contains(f.Summary, "of it in the kernel"); said != c.said {
			t.Errorf("%s: summary %q", c.name, f.Summary)
		}
	}
}

// TestGarbageCollection checks that the collector is the cause from its share of the CPU
// time on, and what is said if its share is known, is not, or comes from few samples.
func TestGarbageCollection(t *testing.T) {
	for _, c := range []struct {
		name                       string
		sampled, collected, inFill float64 // seconds; collected below 0: not known
		cause                      string
		verb                       analysis.Verb
		gap                        bool
	}{
		{"most of it", 1, 0.6, 0.5, gc, analysis.ReduceAllocation, false},
		{"less", 1, 0.25, 0.2, onCPU, analysis.MoveToWorkerThreads, false},
		{"none", 1, 0, 0, onCPU, analysis.MoveToWorkerThreads, false},
		{"few samples", 0.19, 0.19, 0.19, onCPU, analysis.MoveToWorkerThreads, true},
		{"not known", 1, -1, 0, onCPU, analysis.MoveToWorkerThreads, true},
	} {
		h, _, loop := server(t, "node")
		h.Ticks(loop, 5, 0.2, burn(onCPU))
		h.Set(catalog.LongSampled, loop, c.sampled)
		if c.collected >= 0 {
			h.Set(catalog.LongCollected, loop, c.collected)
		}
		if c.inFill > 0 {
			code := h.Add(observe.Code, "42:1/42/0", loop, catalog.AttrFunction, "fill", catalog.AttrCodeFile, "/app/a.js", catalog.AttrLine, "3")
			h.Pair(catalog.LongCollectedIn, loop, code, c.inFill)
		}
		f := h.One(Analyzer)
		want(t, f, analysis.Warning, c.cause, c.verb)
		if (f.Gap != nil) != c.gap {
			t.Errorf("%s: gap = %v, want one: %v", c.name, f.Gap, c.gap)
		}
		if named := strings.Contains(f.Recommendations[0].Action, "`fill` at a.js:3: 83%"); named != (c.cause == gc) {
			t.Errorf("%s: action %q", c.name, f.Recommendations[0].Action)
		}
		if said := strings.Contains(f.Summary, "in the garbage collector"); said != (c.collected > 0 && !c.gap) {
			t.Errorf("%s: summary %q", c.name, f.Summary)
		}
	}
}
