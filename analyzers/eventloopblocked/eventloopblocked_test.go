// SPDX-License-Identifier: Apache-2.0

package eventloopblocked

import (
	"math"
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

// server returns a listening process with one loop on a host of two CPUs.
func server(t *testing.T, runtime string) (h *handmade.Host, process, loop observe.ID) {
	h = handmade.New(t, 10, 2)
	h.Idle(1)
	process = h.Process("42", runtime, runtime+" server", observe.None)
	loop = h.Loop(process)
	h.Set(catalog.ProcessListens, process, 1)
	return h, process, loop
}

// burn returns the parts of long ticks that take one second, all for one cause.
func burn(cause string) observe.Parts {
	const s = 1.0
	return map[string]observe.Parts{
		onCPU: {CPU: s}, runQueue: {RunQueue: s}, cpuThrottled: {Throttled: s}, blockingCall: {Blocked: s}, pageFault: {PageFault: s},
	}[cause]
}

func want(t *testing.T, f *analysis.Finding, severity analysis.Severity, cause string, verb analysis.Verb) {
	t.Helper()
	if f == nil {
		t.Fatalf("no finding, want %s %s", severity, cause)
	}
	if f.Severity != severity || f.Cause != cause {
		t.Errorf("finding = %s %s, want %s %s", f.Severity, f.Cause, severity, cause)
	}
	if len(f.Recommendations) == 0 || f.Recommendations[0].Verb != verb {
		t.Errorf("recommendations = %+v, want %s first", f.Recommendations, verb)
	}
	t.Logf("%s\n-> %s", f.Summary, f.Recommendations[0].Action)
}

func TestEachCauseHasItsVerb(t *testing.T) {
	for cause, verb := range map[string]analysis.Verb{
		onCPU: analysis.MoveToWorkerThreads, runQueue: analysis.AddNodes, cpuThrottled: analysis.RaiseCPULimit,
		blockingCall: analysis.MakeAsync, pageFault: analysis.AddMemory,
	} {
		h, _, loop := server(t, "node")
		h.Ticks(loop, 5, 0.2, burn(cause))
		want(t, h.One(Analyzer), analysis.Warning, cause, verb)
	}
}

func TestVerbOfComputingDependsOnTheRuntime(t *testing.T) {
	for runtime, verb := range map[string]analysis.Verb{
		"python": analysis.AddProcesses, "redis": analysis.MakeAsync, "nginx": analysis.AddProcesses, "jvm": analysis.MoveToWorkerThreads,
	} {
		h, _, loop := server(t, runtime)
		h.Ticks(loop, 5, 0.2, burn(onCPU))
		want(t, h.One(Analyzer), analysis.Warning, onCPU, verb)
	}
}

func TestLagJustBelowAndAboveItsBound(t *testing.T) {
	// One tick of q in 10 s has a p99 lag of q − 100 ms.
	for _, c := range []struct {
		seconds float64
		want    analysis.Severity
	}{{0.149, analysis.Healthy}, {0.151, analysis.Warning}, {0.299, analysis.Warning}, {0.301, analysis.Critical}} {
		h, _, loop := server(t, "node")
		h.Ticks(loop, 1, c.seconds, observe.Parts{CPU: c.seconds})
		got := analysis.Healthy
		if f := h.One(Analyzer); f != nil {
			got = f.Severity
		}
		if got != c.want {
			t.Errorf("severity of one tick of %v s = %s, want %s", c.seconds, got, c.want)
		}
	}
}

func TestWorkerThreadsNeeded(t *testing.T) {
	h, _, loop := server(t, "node")
	h.Ticks(loop, 10, 0.3, observe.Parts{CPU: 3})
	f := h.One(Analyzer)
	want(t, f, analysis.Critical, onCPU, analysis.MoveToWorkerThreads)
	if q := f.Recommendations[0].Quantity; q.Value != 1 || *q.Low != 1 || *q.High != 1 {
		t.Errorf("workers = %+v, want 1 (1 to 1)", q)
	}
	if f.Gap == nil || f.Confidence > unknownCollector || !strings.Contains(f.Recommendations[0].NotIf, "GC") {
		t.Errorf("on-cpu in V8 claims more than is known: %+v", f)
	}
}

func TestHangIsSeenWhileItHangs(t *testing.T) {
	h, _, loop := server(t, "node")
	h.Set(catalog.LoopTicks, loop, 3)
	h.Set(catalog.CurrentTick, loop, 16)
	h.Set(catalog.CurrentCPU, loop, 16)
	f := h.One(Analyzer)
	want(t, f, analysis.Critical, onCPU, analysis.MoveToWorkerThreads)
	if !strings.Contains(f.Summary, "served no request for 16 s: it is still in the same tick") {
		t.Errorf("summary = %q", f.Summary)
	}
	if f.Impact != 1 {
		t.Errorf("impact = %v, want 1", f.Impact)
	}
}

func TestHangIsReadFromItsRecordWithItsSyscall(t *testing.T) {
	h, _, loop := server(t, "node")
	h.Set(catalog.LoopTicks, loop, 3)
	h.Stall(observe.Stall{Loop: loop, Duration: 16, Parts: observe.Parts{Blocked: 16}, Syscall: "wait4", InProgress: true})
	f := h.One(Analyzer)
	want(t, f, analysis.Critical, blockingCall, analysis.MakeAsync)
	if !strings.Contains(f.Summary, "wait4 (waiting for a child process") || len(f.Exemplars) != 1 {
		t.Errorf("summary = %q, exemplars %v", f.Summary, f.Exemplars)
	}
}

func TestTickThatEndedIsNotCountedTwice(t *testing.T) {
	h, _, loop := server(t, "node")
	h.Ticks(loop, 1, 2, observe.Parts{CPU: 2})
	h.Set(catalog.CurrentTick, loop, 1.5) // at an earlier reading
	f := h.One(Analyzer)
	if f == nil || math.Abs(f.LostTotal-2) > 1e-9 {
		t.Errorf("lost = %+v, want 2 s", f)
	}
}

func TestBlockingCallNamesItsSyscall(t *testing.T) {
	h, _, loop := server(t, "node")
	h.Ticks(loop, 5, 0.2, burn(blockingCall))
	h.Pair(catalog.LongBlockedBy, loop, h.Add(observe.Syscall, "openat", observe.None), 0.9)
	h.Pair(catalog.LongBlockedBy, loop, h.Add(observe.Syscall, "futex", observe.None), 0.1)
	f := h.One(Analyzer)
	want(t, f, analysis.Warning, blockingCall, analysis.MakeAsync)
	if !strings.Contains(f.Summary, "openat") || !strings.Contains(f.Recommendations[0].Action, "openat") {
		t.Errorf("summary = %q, action %q", f.Summary, f.Recommendations[0].Action)
	}
}

func TestMixedNamesTheTopTwo(t *testing.T) {
	h, _, loop := server(t, "node")
	h.Ticks(loop, 5, 0.2, observe.Parts{CPU: 0.45, Blocked: 0.4, RunQueue: 0.15})
	f := h.One(Analyzer)
	want(t, f, analysis.Warning, mixed, analysis.MoveToWorkerThreads)
	if len(f.Recommendations) != 2 || f.Recommendations[1].Verb != analysis.MakeAsync {
		t.Errorf("recommendations = %+v, want two", f.Recommendations)
	}
}

func TestLookAlikesStaySilent(t *testing.T) {
	for name, quiet := range map[string]func(*testing.T) *handmade.Host{
		"short ticks on a busy loop": func(t *testing.T) *handmade.Host {
			h, _, loop := server(t, "redis")
			h.Ticks(loop, 4000, 0.002, observe.Parts{CPU: 8})
			return h
		},
		"worker thread": func(t *testing.T) *handmade.Host {
			h, p, _ := server(t, "node")
			h.Ticks(h.Loop(p, catalog.AttrTID, "43"), 5, 0.2, burn(onCPU))
			return h
		},
		"go": func(t *testing.T) *handmade.Host {
			h, _, loop := server(t, "go")
			h.Ticks(loop, 5, 0.2, burn(blockingCall))
			return h
		},
		"several threads on one epoll": func(t *testing.T) *handmade.Host {
			h, p, _ := server(t, "")
			h.Ticks(h.Loop(p, catalog.AttrLoopShared, "true"), 50, 0.2, burn(blockingCall))
			return h
		},
		"a process per request": func(t *testing.T) *handmade.Host {
			h, _, loop := server(t, "postgres")
			h.Ticks(loop, 5, 0.2, burn(onCPU))
			return h
		},
		"gunicorn's synchronous worker": func(t *testing.T) *handmade.Host {
			h, p, _ := server(t, "python")
			h.Ticks(h.Loop(p, catalog.AttrLoopKind, "select"), 5, 0.2, burn(blockingCall))
			return h
		},
		"a daemon without requests": func(t *testing.T) *handmade.Host {
			h, _, loop := server(t, "")
			h.Ticks(loop, 2, 0.2, burn(blockingCall))
			return h
		},
		"stopped by a signal": func(t *testing.T) *handmade.Host {
			h, _, loop := server(t, "node")
			h.Ticks(loop, 1, 5, observe.Parts{Blocked: 5})
			h.Pair(catalog.LongBlockedBy, loop, h.Add(observe.Syscall, stoppedCall, observe.None), 5)
			return h
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := quiet(t)
			// Without a main loop the analyzer would be skipped.
			h.Set(catalog.LoopTicks, h.Add(observe.Loop, "other", h.Process("7", "node", "node idle", observe.None)), 1)
			if f := h.One(Analyzer); f != nil {
				t.Errorf("finding %s: %s", f.Severity, f.Summary)
			}
		})
	}
}

// TestAudience checks that a long tick is reported if something waits for the loop.
func TestAudience(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*handmade.Host, observe.ID)
		want analysis.Severity
	}{
		"a build, or a batch job":           {func(*handmade.Host, observe.ID) {}, analysis.Healthy},
		"a server":                          {func(h *handmade.Host, p observe.ID) { h.Set(catalog.ProcessListens, p, 1) }, analysis.Critical},
		"a server of accepted connections":  {func(h *handmade.Host, p observe.ID) { h.Set(catalog.ProcessAccepted, p, 1) }, analysis.Critical},
		"a server of datagrams":             {func(h *handmade.Host, p observe.ID) { h.Set(catalog.ProcessDatagrams, p, 1) }, analysis.Critical},
		"a consumer of messages":            {func(h *handmade.Host, p observe.ID) { h.Set(catalog.ProcessBrokers, p, 1) }, analysis.Warning},
		"a client with connections":         {func(h *handmade.Host, p observe.ID) { h.Set(catalog.ProcessEstablished, p, 9) }, analysis.Healthy},
		"a server that others connected to": {visitedOnce, analysis.Critical},
	} {
		t.Run(name, func(t *testing.T) {
			h := handmade.New(t, 10, 2)
			p := h.Process("42", "node", "node worker.js", observe.None)
			h.Set(catalog.ProcessListens, p, 0)
			c.set(h, p)
			h.Ticks(h.Loop(p), 10, 0.5, observe.Parts{CPU: 5})
			got := analysis.Healthy
			if f := h.One(Analyzer); f != nil {
				got = f.Severity
			}
			if got != c.want {
				t.Errorf("severity %s, want %s", got, c.want)
			}
		})
	}
}

// visitedOnce gives a process one accepted connection in one reading of the window.
func visitedOnce(h *handmade.Host, process observe.ID) {
	h.Vary(catalog.ProcessAccepted, process, func(second float64) float64 {
		if second == 3 {
			return 1
		}
		return 0
	})
}

// TestUnknownAudience checks that if descriptors were not read, the severity is one
// step lower and the report names the process. nginx is known to serve.
func TestUnknownAudience(t *testing.T) {
	for runtime, want := range map[string]analysis.Severity{"node": analysis.Warning, "": analysis.Info, "nginx": analysis.Critical} {
		h := handmade.New(t, 10, 2)
		h.Ticks(h.Loop(h.Process("42", runtime, "program", observe.None)), 10, 0.5, observe.Parts{CPU: 5})
		r := h.Run(Analyzer)
		if len(r.Findings) != 1 || r.Findings[0].Severity != want || len(r.Skipped) == 0 != (want == analysis.Critical) {
			t.Errorf("runtime %q: findings %+v, skipped %+v, want %s", runtime, r.Findings, r.Skipped, want)
		}
	}
}

// TestBuildInTheContainerOfAServer checks that only a process that runs the program
// of a server counts as one of its workers.
func TestBuildInTheContainerOfAServer(t *testing.T) {
	for command, want := range map[string]bool{"node server.js": true, "node tsc": false} {
		h := handmade.New(t, 10, 2)
		primary := h.Process("41", "node", "node server.js", observe.None, catalog.AttrOwner, "container a")
		other := h.Process("42", "node", command, observe.None, catalog.AttrOwner, "container a")
		h.Set(catalog.ProcessListens, primary, 1)
		h.Set(catalog.ProcessListens, other, 0)
		h.Set(catalog.ProcessAccepted, other, 0)
		h.Ticks(h.Loop(other), 10, 0.5, observe.Parts{CPU: 5})
		if f := h.One(Analyzer); (f != nil) != want {
			t.Errorf("%s: finding %+v, want one: %t", command, f, want)
		}
	}
}

// TestFleetingProgram checks that the ticks of a short-lived program, such as runc
// init from a sealed memfd, are not reported: they delay no request. Clients can wait
// for a server that was just started.
func TestFleetingProgram(t *testing.T) {
	for name, c := range map[string]struct {
		runtime        string
		listens, waits float64
		found          bool
	}{
		"for a moment":               {"", 0, 0.1, false},
		"for a moment, and listens":  {"", 1, 0.1, true},
		"for a moment, of a runtime": {"node", 1, 0.1, true},
		"for seconds":                {"", 1, 2.2, true},
	} {
		h := handmade.New(t, 3, 2)
		p := h.Process("42", c.runtime, "memfd:sealed-91", observe.None)
		loop := h.Loop(p)
		h.Set(catalog.ProcessListens, p, c.listens)
		h.Ticks(loop, 3, 0.25, observe.Parts{CPU: 0.75})
		h.Set(catalog.LoopWait, loop, c.waits)
		if f := h.One(Analyzer); (f != nil) != c.found {
			t.Errorf("%s: finding %+v, want one: %t", name, f, c.found)
		}
	}
}

func TestClusterWorkerServesThroughItsPrimary(t *testing.T) {
	h := handmade.New(t, 10, 2)
	primary := h.Process("41", "node", "node server.js", observe.None, catalog.AttrOwner, "container a")
	worker := h.Process("42", "node", "node server.js", observe.None, catalog.AttrOwner, "container a")
	h.Set(catalog.ProcessListens, primary, 1)
	h.Set(catalog.ProcessListens, worker, 0)
	h.Ticks(h.Loop(worker), 10, 0.5, observe.Parts{CPU: 5})
	want(t, h.One(Analyzer), analysis.Critical, onCPU, analysis.MoveToWorkerThreads)
}

func TestCollectorOfAJVMIsNoWarning(t *testing.T) {
	h, _, loop := server(t, "jvm")
	h.Ticks(loop, 5, 0.2, burn(blockingCall))
	h.Pair(catalog.LongBlockedBy, loop, h.Add(observe.Syscall, "futex", observe.None), 1)
	if f := h.One(Analyzer); f == nil || f.Severity != analysis.Info {
		t.Errorf("finding = %+v, want info", f)
	}
}

// TestWithout checks the finding without the time that a quota took. 110 ms of work
// that a quota stretches to 570 ms are no finding without it. Work that is critical by
// itself is one, unless it is a queue that grew only because of the quota.
func TestWithout(t *testing.T) {
	for _, c := range []struct {
		name  string
		parts observe.Parts
		want  bool
	}{
		{"short work, long throttling", observe.Parts{CPU: 0.8, Throttled: 3.2}, false},
		{"long work, some throttling", observe.Parts{CPU: 3, Throttled: 1}, true},
		{"a queue in every tick, by throttling alone", observe.Parts{CPU: 2, Throttled: 7.8}, false},
	} {
		h, _, loop := server(t, "node")
		h.Ticks(loop, 7, c.parts.Total()/7, c.parts)
		f := h.One(Analyzer)
		if got := f.Without([]string{"cpu-throttled"}); got != c.want {
			t.Errorf("%s: found without the quota = %v, want %v", c.name, got, c.want)
		}
	}
}

func TestWakeUpDelayIsRunQueue(t *testing.T) {
	h, _, loop := server(t, "node")
	h.Ticks(loop, 50, 0.005, observe.Parts{CPU: 0.25})
	h.Hist(catalog.LoopLag, loop, 0.12, 20)
	want(t, h.One(Analyzer), analysis.Warning, runQueue, analysis.AddNodes)
}

// TestStolenTimeIsNoComputing checks that ticks in which the thread used almost no
// CPU time, on a host with 20 % steal time, count as a wait for a CPU.
func TestStolenTimeIsNoComputing(t *testing.T) {
	for _, tt := range []struct {
		name        string
		steal, used float64
		cause       string
	}{
		{"stolen", 0.2, 0.1, runQueue},
		{"its own", 0.2, 1, onCPU},
		{"no steal time", 0, 0.1, onCPU},
	} {
		h, process, loop := server(t, "node")
		h.Ticks(loop, 5, 0.2, observe.Parts{CPU: 1})
		h.Set(catalog.LoopCPU, loop, 1)
		h.Set(catalog.ThreadCPU, h.Add(observe.Thread, "42:1/42", process, catalog.AttrTID, "42"), tt.used)
		h.Steal(tt.steal)
		if f := h.One(Analyzer); f == nil || f.Cause != tt.cause {
			t.Errorf("%s: finding %+v, want %s", tt.name, f, tt.cause)
		}
	}
}

// TestSelectOfPython checks that asyncio on select is distinguished from a synchronous
// worker, which serves one connection at a time beside the primary process and others.
func TestSelectOfPython(t *testing.T) {
	for _, c := range []struct {
		connections float64
		primary     bool
		want        analysis.Severity
	}{
		{0, false, analysis.Healthy},
		{1, false, analysis.Warning},
		{1, true, analysis.Healthy},
		{3, true, analysis.Warning},
	} {
		h := handmade.New(t, 10, 2)
		h.Idle(1)
		process := h.Process("42", "python", "python3 server.py", observe.None, catalog.AttrOwner, "unit a")
		loop := h.Loop(process, catalog.AttrLoopKind, "select")
		h.Set(catalog.ProcessListens, process, 1)
		h.Set(catalog.ProcessAccepted, process, c.connections)
		if c.primary {
			h.Set(catalog.ProcessListens, h.Process("41", "python", "gunicorn: master", observe.None, catalog.AttrOwner, "unit a"), 1)
		}
		h.Ticks(loop, 5, 0.2, burn(onCPU))
		if got := severityOf(h.One(Analyzer)); got != c.want {
			t.Errorf("%v connections, with a primary process %t: %s, want %s", c.connections, c.primary, got, c.want)
		}
	}
}

// TestSleepOfJVM checks that a selector thread that sleeps is distinguished from a
// pause of the garbage collector, during which the collector's threads run.
func TestSleepOfJVM(t *testing.T) {
	for used, want := range map[float64]analysis.Severity{0.1: analysis.Critical, 9: analysis.Info} {
		h, process, loop := server(t, "jvm")
		h.Stall(observe.Stall{Loop: loop, Duration: 10, Parts: observe.Parts{Blocked: 10}, InProgress: true, Syscall: "futex"})
		h.Set(catalog.LoopTicks, loop, 0)
		h.Set(catalog.ProcessCPU, process, used)
		if got := severityOf(h.One(Analyzer)); got != want {
			t.Errorf("%v s of CPU: %s, want %s", used, got, want)
		}
	}
}

func severityOf(f *analysis.Finding) analysis.Severity {
	if f == nil {
		return analysis.Healthy
	}
	return f.Severity
}
