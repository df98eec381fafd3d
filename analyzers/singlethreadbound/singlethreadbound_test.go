// SPDX-License-Identifier: Apache-2.0

package singlethreadbound

import (
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

// server returns a process with one thread that uses this share of a core, on a host
// of two CPUs.
func server(t *testing.T, runtime string, use, idle float64) (*handmade.Host, observe.ID) {
	h := handmade.New(t, 10, 2)
	h.Idle(idle)
	process := h.Process("42", runtime, "api", observe.None)
	thread := h.Add(observe.Thread, "42:1/50", process, catalog.AttrTID, "50", catalog.AttrThreadName, "worker")
	h.Set(catalog.ThreadCPU, thread, use*10)
	h.Set(catalog.ProcessCPU, process, use*10)
	h.Set(catalog.ProcessThreads, process, 4)
	return h, process
}

func TestHotThreadWithAQueue(t *testing.T) {
	h, process := server(t, "", 0.99, 0.95)
	h.Set(catalog.ProcessBacklog, process, 12)
	f := h.One(Analyzer)
	if f == nil || f.Severity != analysis.Warning || f.Cause != oneHotThread {
		t.Fatalf("finding = %+v, want a warning", f)
	}
	r := f.Recommendations[0]
	if r.Verb != analysis.UseMoreCores || r.Quantity.Value != 2 {
		t.Errorf("advice = %s %+v, want 2 threads", r.Verb, r.Quantity)
	}
	t.Logf("%s\n-> %s (not if %s)", f.Summary, r.Action, r.NotIf)
}

// TestStolenTimeIsNotRest checks a thread that never sleeps on a host that is half idle
// and loses 10 % of its CPU time to the hypervisor: it gets 80 % of a core.
func TestStolenTimeIsNotRest(t *testing.T) {
	for _, c := range []struct {
		use, stolen float64
		found       bool
	}{{0.8, 0.1, true}, {0.8, 0, false}, {0.5, 0.1, false}} {
		h, process := server(t, "", c.use, 1)
		h.Steal(c.stolen)
		h.Set(catalog.ProcessBacklog, process, 12)
		if f := h.One(Analyzer); (f != nil) != c.found {
			t.Errorf("use of %v with %v of each CPU stolen: finding = %+v, want one: %v", c.use, c.stolen, f, c.found)
		}
	}
}

// TestFunctionOfAHotThread checks that the function which fills the thread is named.
func TestFunctionOfAHotThread(t *testing.T) {
	h, process := server(t, "python", 0.99, 0.95)
	h.Set(catalog.ProcessBacklog, process, 12)
	thread, _ := h.Index().Find(observe.Entity{Kind: observe.Thread, ID: "42:1/50"})
	code := h.Add(observe.Code, "42:1/50/0", thread, catalog.AttrFunction, "render", catalog.AttrCodeFile, "/app/api.py", catalog.AttrLine, "7")
	h.Set(catalog.ThreadSampled, thread, 9.4)
	h.Pair(catalog.ThreadIn, thread, code, 6)
	f := h.One(Analyzer)
	const want = "`render` at api.py:7 has 64% of the samples of its time on the CPU"
	if f == nil || !strings.Contains(f.Summary, want) || len(f.Culprits) != 1 || f.Recommendations[1].Verb != analysis.ReduceWork {
		t.Errorf("finding = %+v, want %q", f, want)
	}
}

func TestUnknownQueueIsInfo(t *testing.T) {
	h, process := server(t, "jvm", 0.99, 0.95)
	h.Set(catalog.ProcessListens, process, 1)
	if f := h.One(Analyzer); f == nil || f.Severity != analysis.Info {
		t.Errorf("finding = %+v, want info", f)
	}
}

func TestLookAlikesStaySilent(t *testing.T) {
	for name, quiet := range map[string]func() *handmade.Host{
		"no connection waits": func() *handmade.Host {
			h, process := server(t, "", 0.99, 0.95)
			h.Set(catalog.ProcessBacklog, process, 0)
			return h
		},
		"only the one that is being served": func() *handmade.Host {
			h, process := server(t, "", 0.99, 0.95)
			h.Set(catalog.ProcessBacklog, process, 1)
			return h
		},
		"a batch job": func() *handmade.Host {
			h, _ := server(t, "", 1, 1)
			return h
		},
		"not hot": func() *handmade.Host {
			h, process := server(t, "", 0.85, 1)
			h.Set(catalog.ProcessBacklog, process, 12)
			return h
		},
		"no idle core": func() *handmade.Host {
			h, process := server(t, "", 1, 0.4)
			h.Set(catalog.ProcessBacklog, process, 12)
			return h
		},
		"pinned to one CPU": func() *handmade.Host {
			h, process := server(t, "", 1, 1)
			h.Set(catalog.ProcessBacklog, process, 12)
			h.Set(catalog.ProcessAffinity, process, 1)
			return h
		},
		"an event loop's own thread": func() *handmade.Host {
			h, process := server(t, "", 1, 1)
			h.Set(catalog.ProcessBacklog, process, 12)
			h.Set(catalog.LoopTicks, h.Loop(process, catalog.AttrTID, "50"), 100)
			return h
		},
		"a worker thread of node": func() *handmade.Host {
			h, process := server(t, "node", 1, 1)
			h.Set(catalog.ProcessBacklog, process, 12)
			h.Set(catalog.ProcessListens, process, 1)
			h.Set(catalog.LoopTicks, h.Loop(process), 100)
			return h
		},
	} {
		t.Run(name, func(t *testing.T) {
			if f := quiet().One(Analyzer); f != nil {
				t.Errorf("finding %s: %s", f.Severity, f.Summary)
			}
		})
	}
}
