// SPDX-License-Identifier: Apache-2.0

package hostsaturated

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// roomy returns a host of two CPUs with half of its memory available.
func roomy(t *testing.T) *handmade.Host {
	h := handmade.New(t, 10, 2)
	h.Set(catalog.MemoryTotal, h.Node(), 8<<30)
	h.Set(catalog.HostMemoryAvailable, h.Node(), 4<<30)
	return h
}

func host(t *testing.T, idle, pressure float64) *handmade.Host {
	h := roomy(t)
	h.Idle(idle)
	h.Set(catalog.HostCPUSome, h.Node(), pressure*10)
	return h
}

func TestBusyAndWaitedFor(t *testing.T) {
	for _, c := range []struct {
		name           string
		idle, pressure float64
		want           analysis.Severity
	}{
		{"95 % busy with no waiter", 0.1, 0.02, analysis.Healthy},
		{"waiters on an idle host (a CPU limit)", 1.2, 0.8, analysis.Healthy},
		{"one burner on two cores", 1, 0.05, analysis.Healthy},
		{"full and waited for", 0.1, 0.5, analysis.Warning},
	} {
		got := analysis.Healthy
		if f := host(t, c.idle, c.pressure).One(Analyzer); f != nil {
			got = f.Severity
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestPinnedBesideIdleCPUs checks that a host is not full because processes that are
// pinned to one CPU wait for each other.
func TestPinnedBesideIdleCPUs(t *testing.T) {
	for cpus, want := range map[float64]bool{1: false, 2: true} {
		h := host(t, 0.3, 0.9)
		for _, pid := range []string{"51", "52", "53"} {
			b := h.Process(pid, "", "burner", observe.None)
			h.Set(catalog.ProcessCPU, b, 3)
			h.Set(catalog.ProcessRunQueue, b, 6)
			h.Set(catalog.ProcessAffinity, b, cpus)
		}
		if f := h.One(Analyzer); (f != nil) != want {
			t.Errorf("may use %v CPUs: finding %+v, want one: %t", cpus, f, want)
		}
	}
}

// TestCostOfObserving checks that headroom is not among the users of a full host, and
// that its CPU use is stated.
func TestCostOfObserving(t *testing.T) {
	h := host(t, 0.1, 0.5)
	self := h.Process("99", "go", "headroom", observe.None, catalog.AttrExecutable, "headroom")
	h.Set(catalog.ProcessCPU, self, 2)
	f := h.One(Analyzer)
	if f == nil || len(f.Blame) != 0 {
		t.Fatalf("finding = %+v, want no blame", f)
	}
	for _, e := range f.Evidence {
		if e.Label == "of headroom itself" && e.Value == 0.2 {
			return
		}
	}
	t.Errorf("evidence = %+v, want 0.2 cores of headroom", f.Evidence)
}

// TestNodesForWhatIsInUse checks that waiting threads do not count as cores: with
// twenty of them the advice is one more node, not ten.
func TestNodesForWhatIsInUse(t *testing.T) {
	for _, c := range []struct {
		name string
		idle float64
		high *float64
	}{
		{"with idle time", 0.3, analysis.Bound(1)},
		{"without, so that more work can be hidden", 0, nil},
	} {
		h := host(t, c.idle, 0.9)
		h.Set(catalog.ProcessRunQueue, h.Process("7", "", "api", observe.None), 200)
		f := h.One(Analyzer)
		if f == nil {
			t.Fatalf("%s: no finding", c.name)
		}
		r := f.Recommendations[0]
		if diff := cmp.Diff(&analysis.Estimate{Value: 1, Low: analysis.Bound(1), High: c.high, Unit: "nodes"}, r.Quantity); r.Verb != analysis.AddNodes || diff != "" {
			t.Errorf("%s: advice %s (-want +got):\n%s", c.name, r.Verb, diff)
		}
	}
}

// TestNodesForWhatArrives checks that requests for which there is no CPU time count: nearly
// three times as many as are answered need four nodes in all.
func TestNodesForWhatArrives(t *testing.T) {
	h := host(t, 0, 0.9)
	api := h.Process("7", "node", "node api.js", observe.None)
	h.Set(catalog.ProcessListens, api, 1)
	h.Set(catalog.ProcessCPU, api, 18)
	h.Set(catalog.RequestArrivals, api, 2900)
	h.Hist(catalog.RequestDuration, api, 0.5, 1000)
	f := h.One(Analyzer)
	if f == nil {
		t.Fatal("no finding")
	}
	r := f.Recommendations[0]
	want := &analysis.Estimate{Value: 3, Low: analysis.Bound(1), High: analysis.Bound(3), Unit: "nodes"}
	if diff := cmp.Diff(want, r.Quantity); r.Verb != analysis.AddNodes || diff != "" {
		t.Errorf("advice %s (-want +got):\n%s", r.Verb, diff)
	}
	if e := r.Expect[0]; math.Abs(e.To-2.71/4) > 1e-9 {
		t.Errorf("expected: busy %v, want 0.6775", e.To)
	}
}

// TestBatchIsLimited checks that a host that is full because of work without clients gets
// no further node: the work is limited to what the plan leaves. A host without a service,
// and one whose services alone are too much, get nodes.
func TestBatchIsLimited(t *testing.T) {
	for _, c := range []struct {
		name       string
		api, batch float64 // cores
		want       analysis.Verb
		limit      float64
	}{
		{"beside a service, the largest job", 0.5, 1.4, analysis.CapNeighbour, 0.2},
		{"of two jobs, both", 1.3, 0.4, analysis.CapNeighbour, 0.1},
		{"no service", 0.01, 1.9, analysis.AddNodes, 1},
		{"services alone are too much", 1.5, 0.4, analysis.AddNodes, 1},
	} {
		h := host(t, 2-c.api-c.batch, 0.9)
		api := h.Process("7", "node", "node api.js", observe.None)
		h.Set(catalog.ProcessCPU, api, c.api*10)
		h.Set(catalog.ProcessListens, api, 1)
		for _, pid := range []string{"20", "30"} {
			job := h.Process(pid, "", "job "+pid, observe.None)
			h.Set(catalog.ProcessCPU, job, c.batch/2*10)
			h.Set(catalog.ProcessListens, job, 0)
		}
		f := h.One(Analyzer)
		if f == nil {
			t.Fatalf("%s: no finding", c.name)
		}
		if r := f.Recommendations[0]; r.Verb != c.want || math.Abs(r.Quantity.Value-c.limit) > 1e-9 {
			t.Errorf("%s: %s %v (%s), want %s %v", c.name, r.Verb, r.Quantity.Value, r.Action, c.want, c.limit)
		}
	}
}

func TestCriticalOnceALoopIsLate(t *testing.T) {
	h := host(t, 0, 0.9)
	h.Ticks(h.Loop(h.Process("42", "node", "node server.js", observe.None)), 10, 0.1, observe.Parts{CPU: 0.5, RunQueue: 0.5})
	if f := h.One(Analyzer); f == nil || f.Severity != analysis.Critical {
		t.Errorf("finding = %+v, want critical", f)
	}
}

func TestStolenTimeAsksForAnotherInstance(t *testing.T) {
	h := host(t, 1, 0)
	h.Steal(0.2)
	f := h.One(Analyzer)
	if f == nil || !strings.Contains(f.Recommendations[0].Action, "type that has dedicated CPUs") {
		t.Errorf("finding = %+v", f)
	}
}

func TestDelaysAloneAreWaiting(t *testing.T) {
	h := roomy(t)
	h.Idle(0.1)
	p := h.Process("7", "", "server", observe.None)
	h.Set(catalog.ProcessRuns, p, 1000)
	h.Hist(catalog.RunQueueDelay, p, 0.02, 20)
	if f := h.One(Analyzer); f == nil || f.Severity != analysis.Warning {
		t.Errorf("finding = %+v, want a warning", f)
	}
}

// TestUsersAreNamed checks that two processes of a container are one user, that small
// users are not named, and that at most the five largest are.
func TestUsersAreNamed(t *testing.T) {
	h := handmade.New(t, 10, 4)
	h.Idle(1)
	api := h.Add(observe.Cgroup, "/api", observe.None, catalog.AttrContainerName, "api")
	for _, pid := range []string{"10", "11"} {
		h.Set(catalog.ProcessCPU, h.Process(pid, "node", "node server.js", api, catalog.AttrOwner, "container api"), 8)
	}
	build := h.Process("20", "", "cc1", observe.None)
	h.Set(catalog.ProcessCPU, build, 10)
	h.Set(catalog.ProcessCPU, h.Process("30", "", "cron", observe.None), 1)
	var got []analysis.Blame
	a := *Analyzer
	a.Run = facts.Run(func(p *facts.Pass) []analysis.Finding { got = blame(p, cpuUsers(p), 4); return nil })
	h.Run(&a)
	want := []analysis.Blame{{Subject: api, Share: 0.4}, {Subject: build, Share: 0.25}}
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(0, 1e-9)); diff != "" {
		t.Error(diff)
	}
}
