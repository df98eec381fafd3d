// SPDX-License-Identifier: Apache-2.0

package runqueuelatency

import (
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

// service adds another server, which had the CPU for a part of the victim's wait.
func service(h *handmade.Host, victim observe.ID, took float64) {
	other := h.Process("60", "node", "node other.js", observe.None)
	h.Set(catalog.ProcessListens, other, 1)
	h.Set(catalog.ProcessCPU, other, 6)
	h.Set(catalog.ProcessThreads, other, 11)
	h.Pair(catalog.WaitedFor, victim, other, took)
}

// TestTwoServices checks that on a host that is 67 % busy, the advice is not to limit
// one of two services for the other. If the waits are critical, it is more nodes.
func TestTwoServices(t *testing.T) {
	for _, c := range []struct {
		delay, delays float64
		want          analysis.Verb
	}{{0.02, 15, ""}, {0.06, 60, analysis.AddNodes}} {
		h, server := victim(t, c.delay*c.delays, c.delay, c.delays)
		h.Idle(0.66)
		service(h, server, 0.9*c.delay*c.delays)
		f := h.One(Analyzer)
		if f == nil && c.want == "" {
			continue
		}
		if f == nil || c.want == "" || f.Recommendations[0].Verb != c.want || f.Cause != hostFull {
			t.Errorf("%v s: finding %+v, want advice %q", c.delay, f, c.want)
		}
	}
}

// TestAnotherHeadroom checks that an agent on the same host as a diagnosis is neither
// a neighbour nor a victim. Its part of the wait is a line of evidence.
func TestAnotherHeadroom(t *testing.T) {
	h, server := victim(t, 3.7, 0.013, 280)
	burner(h, "51", server, 2.2)
	agent := h.Process("99", "go", "headroom agent", observe.None, catalog.AttrExecutable, "headroom")
	h.Set(catalog.ProcessListens, agent, 1)
	h.Set(catalog.ProcessCPU, agent, 1)
	h.Set(catalog.ProcessRunQueue, agent, 3)
	h.Set(catalog.ProcessRuns, agent, 100)
	h.Hist(catalog.RunQueueDelay, agent, 0.06, 50)
	h.Pair(catalog.WaitedFor, server, agent, 1.4)
	f := h.One(Analyzer)
	if f == nil || f.Subject != server || len(f.Blame) != 1 || strings.Contains(f.Summary, "headroom") {
		t.Fatalf("finding = %+v, want the burner to be blamed alone", f)
	}
	for _, e := range f.Evidence {
		if strings.Contains(e.Label, "headroom itself") && e.Value > 0.38 && e.Value < 0.4 {
			return
		}
	}
	t.Errorf("evidence = %+v, want the part of headroom", f.Evidence)
}

// TestBuildInAContainer checks that a container without a socket is not a victim: no
// client waits for it.
func TestBuildInAContainer(t *testing.T) {
	for listens, want := range map[float64]bool{0: false, 1: true} {
		h := handmade.New(t, 10, 2)
		c := h.Add(observe.Cgroup, "/build", observe.None, catalog.AttrContainerName, "build")
		hog := h.Process("50", "", "hog", observe.None)
		gcc := h.Process("42", "", "gcc", c, catalog.AttrOwner, "container build")
		h.Set(catalog.ProcessListens, gcc, listens)
		h.Set(catalog.ProcessCPU, gcc, 1)
		h.Set(catalog.ProcessRunQueue, gcc, 2)
		h.Set(catalog.ProcessRuns, gcc, 100)
		h.Hist(catalog.RunQueueDelay, gcc, 0.02, 90)
		h.Pair(catalog.WaitedFor, gcc, hog, 1.8)
		if f := h.One(Analyzer); (f != nil) != want {
			t.Errorf("%v listeners: finding %+v, want one: %t", listens, f, want)
		}
	}
}

// TestDaemonsOnAHealthyHost checks that there is no finding for etcd and containerd,
// which at times wait 12 ms, for 2 to 3 % of the window, on healthy hosts.
func TestDaemonsOnAHealthyHost(t *testing.T) {
	for wait, want := range map[float64]bool{0.3: false, 0.8: true} {
		h := handmade.New(t, 10, 2)
		daemon := h.Process("42", "go", "etcd", observe.None)
		h.Set(catalog.ProcessListens, daemon, 1)
		h.Set(catalog.ProcessCPU, daemon, 0.2)
		h.Set(catalog.ProcessRunQueue, daemon, wait)
		h.Set(catalog.ProcessRuns, daemon, 1000)
		h.Hist(catalog.RunQueueDelay, daemon, 0.012, 20)
		burner(h, "51", daemon, wait)
		if f := h.One(Analyzer); (f != nil) != want {
			t.Errorf("%v s of 10: finding %+v, want one: %t", wait, f, want)
		}
	}
}

// TestPinnedBesideAnIdleCore checks that a host is not full because of processes that
// are pinned to one CPU.
func TestPinnedBesideAnIdleCore(t *testing.T) {
	h, server := victim(t, 3.7, 0.013, 280)
	h.Idle(0.28)
	h.Set(catalog.ProcessAffinity, server, 1)
	burners(h, server)
	f := h.One(Analyzer)
	if f == nil || f.Cause != noisyNeighbour || !strings.Contains(f.Recommendations[0].Action, "let both use every CPU") {
		t.Errorf("finding = %+v, want both to use every CPU", f)
	}
}

// TestSettingOfThreads checks that advice about threads names the setting of the
// runtime, and that there is no finding if the setting is not known.
func TestSettingOfThreads(t *testing.T) {
	for runtime, want := range map[string]string{"node": "UV_THREADPOOL_SIZE=2", "go": "GOMAXPROCS=2",
		"jvm": "-XX:ActiveProcessorCount=2", "ruby": "threads 2, 2", "": ""} {
		h := handmade.New(t, 10, 2)
		h.Idle(1)
		server := h.Process("42", runtime, "server", observe.None)
		h.Set(catalog.ProcessListens, server, 1)
		h.Set(catalog.ProcessCPU, server, 1.5)
		h.Set(catalog.ProcessRunQueue, server, 3.7)
		h.Set(catalog.ProcessRuns, server, 1000)
		h.Hist(catalog.RunQueueDelay, server, 0.02, 150)
		h.Pair(catalog.WaitedFor, server, server, 3)
		f := h.One(Analyzer)
		if (f != nil) != (want != "") || f != nil && !strings.Contains(f.Recommendations[0].Action, want) {
			t.Errorf("runtime %q: finding %+v, want %q", runtime, f, want)
		}
	}
}
