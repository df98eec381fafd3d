// SPDX-License-Identifier: Apache-2.0

package runqueuelatency

import (
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
	"github.com/headroom-project/headroom/analyzers/eventloopblocked"
)

// victim returns a node server that ran for 1.5 s and waited, on a host of two CPUs.
func victim(t *testing.T, wait, delay, delays float64) (*handmade.Host, observe.ID) {
	h := handmade.New(t, 10, 2)
	h.Idle(1)
	server := h.Process("42", "node", "node server.js", observe.None)
	h.Set(catalog.ProcessListens, server, 1)
	h.Set(catalog.LoopTicks, h.Loop(server), 100)
	h.Set(catalog.ProcessCPU, server, 1.5)
	h.Set(catalog.ProcessRunQueue, server, wait)
	h.Set(catalog.ProcessRuns, server, 1000)
	h.Hist(catalog.RunQueueDelay, server, delay, delays)
	return h, server
}

// burner adds a process without an owner that never sleeps.
func burner(h *handmade.Host, pid string, victim observe.ID, took float64) {
	b := h.Process(pid, "", "burner", observe.None)
	h.Set(catalog.ProcessCPU, b, 2.1)
	h.Set(catalog.ProcessRunQueue, b, 7.5)
	h.Set(catalog.ProcessThreads, b, 1)
	h.Pair(catalog.WaitedFor, victim, b, took)
}

func burners(h *handmade.Host, victim observe.ID) {
	for _, pid := range []string{"51", "52", "53", "54"} {
		burner(h, pid, victim, 0.9)
	}
}

// TestTheObserverIsNoNeighbour checks that a wait for headroom itself is not a finding,
// and that the report says so.
func TestTheObserverIsNoNeighbour(t *testing.T) {
	h, server := victim(t, 3.7, 0.013, 280)
	self := h.Process("99", "go", "headroom", observe.None, catalog.AttrSelf, "true")
	h.Set(catalog.ProcessCPU, self, 2)
	h.Pair(catalog.WaitedFor, server, self, 3)
	r := h.Run(Analyzer)
	if len(r.Findings) != 0 || len(r.Skipped) != 1 {
		t.Errorf("findings %v, skipped %+v, want none and one", r.Findings, r.Skipped)
	}
}

// TestWaitsBesideIdleCPUs checks that a wait of 6 s is not believed if the thread could
// have run on an idle CPU, and is if the thread is pinned.
func TestWaitsBesideIdleCPUs(t *testing.T) {
	for cpus, want := range map[float64]int{2: 0, 1: 1} {
		h, server := victim(t, 6, 6, 1)
		h.Set(catalog.ProcessRuns, server, 20)
		h.Set(catalog.ProcessAffinity, server, cpus)
		burners(h, server)
		r := h.Run(Analyzer)
		if len(r.Findings) != want || len(r.Skipped) != 1-want {
			t.Errorf("may use %v of 2 CPUs: findings %v, skipped %+v, want %d", cpus, r.Findings, r.Skipped, want)
		}
	}
}

func TestFourBurnersOnItsCore(t *testing.T) {
	h, server := victim(t, 3.7, 0.013, 280)
	burners(h, server)
	f := h.One(Analyzer)
	if f == nil || f.Severity != analysis.Critical || f.Cause != noisyNeighbour || f.Subject != server {
		t.Fatalf("finding = %+v, want critical %s of the server", f, noisyNeighbour)
	}
	if len(f.Blame) != 4 {
		t.Errorf("blame = %+v, want the four burners", f.Blame)
	}
	r := f.Recommendations[0]
	if r.Verb != analysis.CapNeighbour || r.Quantity == nil {
		t.Errorf("advice = %+v", r)
	}
	t.Logf("%s\n-> %s", f.Summary, r.Action)
}

func TestStallFoldsUnderTheNeighbour(t *testing.T) {
	h, server := victim(t, 3.7, 0.013, 280)
	burners(h, server)
	h.Ticks(h.Loop(server), 30, 0.15, observe.Parts{CPU: 1, RunQueue: 3.5})
	r := h.Run(eventloopblocked.Analyzer, Analyzer)
	if len(r.Findings) != 2 || r.Findings[1].SymptomOf != r.Findings[0] || r.Findings[0].Analyzer != Analyzer {
		t.Errorf("findings = %+v, want the stall under the neighbour", r.Findings)
	}
}

func TestWaitingIsJudgedByDelayAndShare(t *testing.T) {
	for _, c := range []struct {
		name                string
		wait, delay, delays float64
		want                analysis.Severity
	}{
		{"many short waits", 0.5, 0.0015, 300, analysis.Healthy},
		{"a quarter of the time, and no loop is late", 0.5, 0.006, 50, analysis.Healthy},
		{"more than half of the time", 1.8, 0.006, 200, analysis.Warning},
		{"long waits", 0.5, 0.012, 42, analysis.Warning},
		{"rare long waits", 0.19, 0.02, 9, analysis.Healthy},
		{"long waits", 0.3, 0.02, 15, analysis.Warning},
		{"very long waits", 1.2, 0.06, 20, analysis.Critical},
	} {
		h, server := victim(t, c.wait, c.delay, c.delays)
		burner(h, "51", server, c.wait)
		got := analysis.Healthy
		if f := h.One(Analyzer); f != nil {
			got = f.Severity
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestThrottlingIsNotWaiting(t *testing.T) {
	h := handmade.New(t, 10, 2)
	c := h.Add(observe.Cgroup, "/api", observe.None, catalog.AttrContainerName, "api")
	h.Set(catalog.CgroupCPULimit, c, 0.2)
	h.Set(catalog.CgroupThrottledS, c, 6)
	server := h.Process("42", "node", "node server.js", c)
	h.Set(catalog.ProcessListens, server, 1)
	h.Set(catalog.ProcessCPU, server, 2)
	h.Set(catalog.ProcessRunQueue, server, 6.5)
	h.Set(catalog.ProcessRuns, server, 100)
	h.Hist(catalog.RunQueueDelay, server, 0.08, 80)
	if f := h.One(Analyzer); f != nil {
		t.Errorf("finding: %s", f.Summary)
	}
}

func TestBatchWorkIsNoVictim(t *testing.T) {
	h := handmade.New(t, 10, 2)
	for _, pid := range []string{"51", "52", "53"} {
		b := h.Process(pid, "", "burner", observe.None, catalog.AttrService, "batch.service", catalog.AttrOwner, "batch.service")
		h.Set(catalog.ProcessCPU, b, 6)
		h.Set(catalog.ProcessRunQueue, b, 3.9)
		h.Set(catalog.ProcessThreads, b, 1)
	}
	if f := h.One(Analyzer); f != nil {
		t.Errorf("finding: %s", f.Summary)
	}
}

func TestOwnThreadsAndFullHost(t *testing.T) {
	h, server := victim(t, 3.7, 0.02, 150)
	h.Pair(catalog.WaitedFor, server, server, 3)
	f := h.One(Analyzer)
	if f == nil || f.Cause != ownThreads || f.Recommendations[0].Verb != analysis.ReduceThreads {
		t.Errorf("finding = %+v, want %s", f, ownThreads)
	}

	h, server = victim(t, 3.7, 0.02, 150)
	h.Idle(0.1)
	for i, name := range []string{"a", "b", "c", "d"} {
		other := h.Process(string(rune('6'+i))+"0", "", name, observe.None)
		h.Pair(catalog.WaitedFor, server, other, 0.9)
	}
	f = h.One(Analyzer)
	if f == nil || f.Cause != hostFull || f.Recommendations[0].Verb != analysis.AddNodes {
		t.Errorf("finding = %+v, want %s", f, hostFull)
	}
	t.Logf("%s\n-> %s", f.Summary, f.Recommendations[0].Action)
}

func TestProcessesOfOneOwnerAreOneFinding(t *testing.T) {
	h := handmade.New(t, 10, 2)
	c := h.Add(observe.Cgroup, "/api", observe.None, catalog.AttrContainerName, "api")
	hog := h.Process("50", "", "hog", observe.None)
	for _, pid := range []string{"42", "43"} {
		server := h.Process(pid, "node", "node server.js", c, catalog.AttrOwner, "container api")
		h.Set(catalog.LoopTicks, h.Loop(server), 100)
		h.Set(catalog.ProcessCPU, server, 1)
		h.Set(catalog.ProcessRunQueue, server, 2)
		h.Set(catalog.ProcessRuns, server, 100)
		h.Hist(catalog.RunQueueDelay, server, 0.02, 90)
		h.Pair(catalog.WaitedFor, server, hog, 1.8)
	}
	f := h.One(Analyzer)
	if f == nil || f.Subject != c {
		t.Errorf("finding = %+v, want one about the container", f)
	}
}

// TestWorkersThatStarveAreOneFinding checks that late workers of a service are one
// finding about the service, whether one of four workers is late or three are.
func TestWorkersThatStarveAreOneFinding(t *testing.T) {
	for _, late := range []int{1, 3} {
		h := handmade.New(t, 10, 2)
		c := h.Add(observe.Cgroup, "/api", observe.None, catalog.AttrContainerName, "api")
		hog := h.Process("50", "", "hog", observe.None)
		for i, pid := range []string{"42", "43", "44", "45"} {
			worker := h.Process(pid, "node", "node worker.js", c, catalog.AttrOwner, "container api")
			h.Set(catalog.LoopTicks, h.Loop(worker), 100)
			if i >= late {
				h.Set(catalog.ProcessCPU, worker, 5)
				h.Set(catalog.ProcessRunQueue, worker, 0.05)
				h.Set(catalog.ProcessRuns, worker, 100000)
				continue
			}
			h.Set(catalog.ProcessCPU, worker, 1)
			h.Set(catalog.ProcessRunQueue, worker, 2)
			h.Set(catalog.ProcessRuns, worker, 100)
			h.Hist(catalog.RunQueueDelay, worker, 0.02, 90)
			h.Pair(catalog.WaitedFor, worker, hog, 1.8)
		}
		f := h.One(Analyzer)
		if f == nil || f.Subject != c || len(f.Subjects) != late {
			t.Fatalf("%d late: finding = %+v, want one about the container", late, f)
		}
		if want := "3 × node worker.js (pids 42, 43, 44) waits"; late == 3 && !strings.HasPrefix(f.Summary, want) {
			t.Errorf("summary = %q, want %q first", f.Summary, want)
		}
	}
}

// TestOwnThreadsLead checks that own threads with 45 % of the wait are the cause if
// three processes of other owners have 18 % each.
func TestOwnThreadsLead(t *testing.T) {
	h, server := victim(t, 3.7, 0.02, 150)
	h.Pair(catalog.WaitedFor, server, server, 1.65)
	for i, name := range []string{"a", "b", "c"} {
		other := h.Process(string(rune('6'+i))+"0", "", name, observe.None)
		h.Pair(catalog.WaitedFor, server, other, 0.68)
	}
	if f := h.One(Analyzer); f == nil || f.Cause != ownThreads {
		t.Errorf("finding = %+v, want %s", f, ownThreads)
	}
}

// TestHypervisorIsToBlame checks that the advice is not to limit a neighbour if the
// hypervisor took the CPU time.
func TestHypervisorIsToBlame(t *testing.T) {
	for stolen, want := range map[float64]string{0.05: noisyNeighbour, 0.2: hostFull} {
		h, server := victim(t, 3.7, 0.02, 150)
		burners(h, server)
		h.Steal(stolen)
		f := h.One(Analyzer)
		if f == nil || f.Cause != want || f.Cause == hostFull && !strings.Contains(f.Recommendations[0].Action, "dedicated CPUs") {
			t.Errorf("%v of the CPU time stolen: finding %+v, want %s", stolen, f, want)
		}
	}
}
