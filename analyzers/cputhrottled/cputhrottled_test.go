// SPDX-License-Identifier: Apache-2.0

package cputhrottled

import (
	"strconv"
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
	"github.com/headroom-project/headroom/analyzers/eventloopblocked"
	"github.com/headroom-project/headroom/analyzers/workercountmismatch"
)

// container returns a container whose CPU quota ran out in some of its 100 periods.
func container(t *testing.T, cpus int, limit, use float64, throttledPeriods, stopped float64) (*handmade.Host, observe.ID) {
	h := handmade.New(t, 10, cpus)
	h.Idle(float64(cpus) - use)
	c := h.Add(observe.Cgroup, "/kubepods/pod1/api", observe.None, catalog.AttrContainerName, "api")
	h.Set(catalog.CgroupCPULimit, c, limit)
	h.Set(catalog.CgroupCPUPeriod, c, 0.1)
	h.Set(catalog.CgroupPeriods, c, 100)
	h.Set(catalog.CgroupThrottled, c, throttledPeriods)
	h.Set(catalog.CgroupThrottledS, c, stopped)
	h.Set(catalog.CgroupCPUTime, c, use*10)
	return h, c
}

func threads(h *handmade.Host, process observe.ID, use ...float64) {
	for i, u := range use {
		h.Set(catalog.ThreadCPU, h.Add(observe.Thread, "t"+string(rune('0'+i)), process), u*10)
	}
}

// throttledServer returns a host with a server that uses 80 ms of CPU per tick under
// a limit of 0.2 cores.
func throttledServer(t *testing.T) *handmade.Host {
	h, c := container(t, 2, 0.2, 0.2, 98, 7.8)
	server := h.Process("42", "node", "node server.js", c)
	threads(h, server, 0.19, 0.01)
	h.Set(catalog.ProcessListens, server, 1)
	h.Ticks(h.Loop(server), 25, 0.4, observe.Parts{CPU: 2, Throttled: 8})
	return h
}

// TestLimitOfALoopThatNeverWaits checks the limit for a loop whose queue never
// empties, which hides how much CPU it needs: more than the limit of 0.2 cores, and
// at most the core that one thread can use. The middle has the smallest error in
// either direction.
func TestLimitOfALoopThatNeverWaits(t *testing.T) {
	f := throttledServer(t).One(Analyzer)
	if f == nil || f.Severity != analysis.Critical || f.Cause != limitTooLow {
		t.Fatalf("finding = %+v, want critical %s", f, limitTooLow)
	}
	r := f.Recommendations[0]
	t.Logf("%s\n-> %s", f.Summary, r.Action)
	if r.Verb != analysis.RaiseCPULimit || r.Quantity.Value != 0.45 || *r.Quantity.Low != 0.2 || *r.Quantity.High != 1.1 {
		t.Errorf("limit = %+v, want 0.45 cores of 0.2 to 1.1", r.Quantity)
	}
}

// TestLimitOfALoopWithIdleTime checks the limit for a loop that waits for requests
// and so has done all the work that arrived. The limit must be enough for this work,
// and for the work of one tick within a period.
func TestLimitOfALoopWithIdleTime(t *testing.T) {
	for _, c := range []struct {
		name              string
		use, ticks, times float64
		want              float64
	}{
		{"short ticks", 0.18, 60, 0.1, 0.35},
		{"ticks of 60 ms", 0.18, 30, 0.2, 0.7},
	} {
		h, group := container(t, 2, 0.2, c.use, 70, 5)
		server := h.Process("42", "node", "node server.js", group)
		threads(h, server, c.use)
		h.Set(catalog.ProcessListens, server, 1)
		h.Ticks(h.Loop(server), c.ticks, c.times, observe.Parts{CPU: 10 * c.use, Throttled: c.ticks*c.times - 10*c.use})
		f := h.One(Analyzer)
		if f == nil {
			t.Fatalf("%s: no finding", c.name)
		}
		if got := f.Recommendations[0].Quantity.Value; got != c.want {
			t.Errorf("%s: limit = %v, want %v", c.name, got, c.want)
		}
	}
}

func TestStallFoldsUnderTheLimit(t *testing.T) {
	r := throttledServer(t).Run(eventloopblocked.Analyzer, Analyzer)
	if len(r.Findings) != 2 {
		t.Fatalf("%d findings, want 2", len(r.Findings))
	}
	root, symptom := r.Findings[0], r.Findings[1]
	if root.Analyzer != Analyzer || symptom.SymptomOf != root {
		t.Errorf("%s first, and %s is a symptom of %v", root.Analyzer.Name, symptom.Analyzer.Name, symptom.SymptomOf)
	}
	if symptom.Cause != "cpu-throttled" {
		t.Errorf("cause of the stall = %s, want cpu-throttled", symptom.Cause)
	}
}

func TestThrottlingThatDelaysNobodyIsNoWarning(t *testing.T) {
	h, c := container(t, 2, 0.5, 0.3, 40, 0.9)
	server := h.Process("42", "node", "node server.js", c)
	threads(h, server, 0.3)
	h.Set(catalog.ProcessListens, server, 1)
	h.Ticks(h.Loop(server), 1000, 0.004, observe.Parts{CPU: 3, Throttled: 0.9})
	if f := h.One(Analyzer); f != nil && f.Severity > analysis.Info {
		t.Errorf("finding %s: %s", f.Severity, f.Summary)
	}
}

func TestManyThrottledPeriodsAndLittleTimeIsSilent(t *testing.T) {
	h, c := container(t, 2, 0.5, 0.45, 40, 0.3)
	threads(h, h.Process("42", "", "batch", c), 0.45)
	if f := h.One(Analyzer); f != nil {
		t.Errorf("finding %s: %s", f.Severity, f.Summary)
	}
}

func TestBatchAtItsLimitIsInfoAtMost(t *testing.T) {
	h, c := container(t, 2, 0.2, 0.2, 100, 8)
	threads(h, h.Process("42", "", "batch", c), 0.2)
	h.Set(catalog.LoopTicks, h.Loop(h.Process("7", "node", "node other", observe.None)), 1)
	if f := h.One(Analyzer); f == nil || f.Severity != analysis.Info {
		t.Errorf("finding = %+v, want info", f)
	}
}

func TestServerWithoutALoopIsJudgedByTime(t *testing.T) {
	h, c := container(t, 2, 0.2, 0.2, 100, 8)
	server := h.Process("42", "go", "api", c)
	threads(h, server, 0.2)
	h.Set(catalog.ProcessListens, server, 1)
	h.Set(catalog.LoopTicks, h.Loop(server, catalog.AttrLoopShared, "true"), 100)
	if f := h.One(Analyzer); f == nil || f.Severity != analysis.Warning {
		t.Errorf("finding = %+v, want a warning", f)
	}
}

func TestMoreThreadsThanCoresInTheLimit(t *testing.T) {
	h, c := container(t, 8, 2, 0.8, 50, 20)
	server := h.Process("42", "go", "api", c)
	threads(h, server, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1)
	h.Set(catalog.ProcessCPU, server, 8)
	h.Set(catalog.ProcessListens, server, 1)
	f := h.One(Analyzer)
	if f == nil || f.Cause != threadsExceedQuota {
		t.Fatalf("finding = %+v, want %s", f, threadsExceedQuota)
	}
	if r := f.Recommendations[0]; r.Verb != analysis.ReduceThreads || r.Quantity.Value != 2 || !strings.HasSuffix(r.Action, "set GOMAXPROCS=2") {
		t.Errorf("advice = %s %+v %s, want 2 threads by GOMAXPROCS", r.Verb, r.Quantity, r.Action)
	}
	t.Logf("%s\n-> %s\n-> %s", f.Summary, f.Recommendations[0].Action, f.Recommendations[1].Action)
}

func TestNeverThrottledIsSilent(t *testing.T) {
	h, _ := container(t, 2, 1, 0.5, 0, 0)
	if f := h.One(Analyzer); f != nil {
		t.Errorf("finding: %s", f.Summary)
	}
}

// TestPodHasItsContainersLimit checks that a pod whose limit is the sum of the limits
// of its containers gets no finding of its own. Another limit was set explicitly.
func TestPodHasItsContainersLimit(t *testing.T) {
	for _, c := range []struct {
		podLimit float64
		findings int
	}{{0.2, 1}, {0.15, 2}, {0.3, 2}} {
		h := handmade.New(t, 10, 2)
		h.Idle(1.8)
		pod := h.Add(observe.Cgroup, "/kubepods/pod1", observe.None, catalog.AttrPodName, "shop-1")
		api := h.Add(observe.Cgroup, "/kubepods/pod1/api", pod, catalog.AttrContainerName, "api")
		for cgroup, limit := range map[observe.ID]float64{pod: c.podLimit, api: 0.2} {
			h.Set(catalog.CgroupCPULimit, cgroup, limit)
			h.Set(catalog.CgroupCPUPeriod, cgroup, 0.1)
			h.Set(catalog.CgroupPeriods, cgroup, 100)
			h.Set(catalog.CgroupThrottled, cgroup, 98)
			h.Set(catalog.CgroupThrottledS, cgroup, 7.8)
			h.Set(catalog.CgroupCPUTime, cgroup, 2)
		}
		server := h.Process("42", "node", "node server.js", api)
		threads(h, server, 0.2)
		h.Set(catalog.ProcessListens, server, 1)
		h.Ticks(h.Loop(server), 25, 0.4, observe.Parts{CPU: 2, Throttled: 8})
		if r := h.Run(Analyzer); len(r.Findings) != c.findings {
			t.Errorf("pod's limit %g: %d findings, want %d", c.podLimit, len(r.Findings), c.findings)
		}
	}
}

// TestBurstsAreComparedWithTheTimeOfWork checks a group whose goroutines, on two
// threads, use up a limit of one core in half of a period. Their requests wait,
// although the group is throttled for less than 5 % of the window.
func TestBurstsAreComparedWithTheTimeOfWork(t *testing.T) {
	for _, c := range []struct {
		name    string
		listens float64
		stopped float64
		want    analysis.Severity
	}{
		{"a server", 1, 0.9, analysis.Warning},
		{"no client waits", 0, 0.9, analysis.Healthy},
		{"a request in a thousand", 1, 0.08, analysis.Healthy},
	} {
		h, group := container(t, 2, 1, 0.5, 16, c.stopped)
		server := h.Process("42", "go", "api", group)
		threads(h, server, 0.25, 0.25)
		h.Set(catalog.ProcessListens, server, c.listens)
		h.Set(catalog.LoopTicks, h.Loop(server, catalog.AttrLoopShared, "true"), 100)
		f := h.One(Analyzer)
		switch {
		case c.want == analysis.Healthy && f != nil:
			t.Errorf("%s: finding %s: %s", c.name, f.Severity, f.Summary)
		case c.want == analysis.Healthy:
		case f == nil || f.Severity != c.want || f.Cause != threadsExceedQuota:
			t.Errorf("%s: finding = %+v, want %s %s", c.name, f, c.want, threadsExceedQuota)
		default:
			t.Log(f.Summary)
		}
	}
}

// TestUseThatIsNotCounted checks that without cpuacct the CPU time of a group is that
// of its threads, and that without both it is unknown and not 0.
func TestUseThatIsNotCounted(t *testing.T) {
	for _, known := range []bool{true, false} {
		h := handmade.New(t, 10, 2)
		h.Idle(1)
		group := h.Add(observe.Cgroup, "/kubepods/pod1/api", observe.None, catalog.AttrContainerName, "api")
		h.Set(catalog.CgroupCPULimit, group, 1)
		h.Set(catalog.CgroupCPUPeriod, group, 0.1)
		h.Set(catalog.CgroupPeriods, group, 100)
		h.Set(catalog.CgroupThrottled, group, 90)
		h.Set(catalog.CgroupThrottledS, group, 8)
		server := h.Process("42", "go", "api", group)
		h.Set(catalog.ProcessListens, server, 1)
		if known {
			threads(h, server, 0.5, 0.45)
		}
		f := h.One(Analyzer)
		if f == nil || f.Cause != limitTooLow {
			t.Fatalf("finding = %+v, want %s", f, limitTooLow)
		}
		use := -1.0
		for _, e := range f.Evidence {
			if e.Metric == catalog.CgroupCPUTime {
				use = e.Value
			}
		}
		if want := map[bool]float64{true: 0.95, false: -1}[known]; use != want {
			t.Errorf("threads known: %t; use = %v, want %v", known, use, want)
		}
	}
}

// TestThrottledBeforeTheTick checks that throttling counts where it delays the start of
// short ticks and never falls into one, as before kernel 6.18: HAProxy wakes up, and its
// group has no quota left. The same delay without throttling is not this finding's.
func TestThrottledBeforeTheTick(t *testing.T) {
	for throttled, want := range map[float64]analysis.Severity{4.8: analysis.Warning, 0: analysis.Info} {
		h, group := container(t, 2, 0.2, 0.2, 60, 4.8)
		proxy := h.Process("42", "", "haproxy", group)
		threads(h, proxy, 0.2)
		h.Set(catalog.ProcessListens, proxy, 1)
		loop := h.Loop(proxy)
		h.Ticks(loop, 2000, 0.001, observe.Parts{CPU: 2})
		h.Hist(catalog.LoopLag, loop, 0.08, 60)
		h.Set(catalog.LoopWakeThrottled, loop, throttled)
		f := h.One(Analyzer)
		if f == nil || f.Severity != want {
			t.Errorf("throttled for %v s before ticks: %+v, want %s", throttled, f, want)
		}
	}
}

// TestTooManyWorkersExplainThrottling checks that throttling is a symptom of too many
// workers if as many as fit the limit cannot exceed it: one worker of one thread under a
// limit of one core, but not two under a limit of 1.5.
func TestTooManyWorkersExplainThrottling(t *testing.T) {
	for limit, want := range map[float64]bool{1: true, 1.5: false} {
		h, c := container(t, 2, limit, limit, 100, 9)
		for i := range 16 {
			worker := h.Process(strconv.Itoa(42+i), "node", "node c.js", c, catalog.AttrOwner, "c")
			h.Set(catalog.ProcessListens, worker, 1)
			h.Set(catalog.ProcessAccepted, worker, 2)
			h.Set(catalog.ProcessCPU, worker, 10*limit/16)
			h.Set(catalog.ProcessRunQueue, worker, 9)
			h.Ticks(h.Loop(worker), 50, 0.19, observe.Parts{CPU: 10 * limit / 16, Throttled: 4, RunQueue: 5})
		}
		r := h.Run(workercountmismatch.Analyzer, Analyzer)
		if len(r.Findings) != 2 {
			t.Fatalf("limit of %v: %d findings, want 2", limit, len(r.Findings))
		}
		for _, f := range r.Findings {
			if f.Analyzer == Analyzer && (f.SymptomOf != nil) != want {
				t.Errorf("limit of %v: throttling is a symptom of %v, want %v", limit, f.SymptomOf, want)
			}
		}
	}
}

// TestShortStopsOfBursts checks that bursts of threads that the quota stops for a short
// time are an info, and that they are silent if that is rare.
func TestShortStopsOfBursts(t *testing.T) {
	for periods, want := range map[float64]analysis.Severity{12: analysis.Info, 5: analysis.Healthy} {
		h, c := container(t, 2, 1, 0.33, periods, 0.18)
		server := h.Process("42", "go", "api", c)
		threads(h, server, 0.09, 0.08, 0.08, 0.08)
		h.Set(catalog.ProcessListens, server, 1)
		got := analysis.Healthy
		if f := h.One(Analyzer); f != nil {
			got = f.Severity
		}
		if got != want {
			t.Errorf("quota exhausted in %v of 100 periods: %s, want %s", periods, got, want)
		}
	}
}
