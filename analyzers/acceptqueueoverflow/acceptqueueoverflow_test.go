// SPDX-License-Identifier: Apache-2.0

package acceptqueueoverflow

import (
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
	"github.com/headroom-project/headroom/analyzers/cputhrottled"
	"github.com/headroom-project/headroom/analyzers/eventloopblocked"
	"github.com/headroom-project/headroom/analyzers/fdexhaustion"
)

// server returns a process that listens with a backlog of 8 and drops the given
// number of connections per second.
func server(t *testing.T, perSecond float64, queue func(second int) float64) (h *handmade.Host, process, listener observe.ID) {
	h = handmade.New(t, 10, 2)
	h.Idle(1)
	process = h.Process("42", "node", "node server.js", observe.None)
	listener = h.Add(observe.Listener, "127.0.0.1:8080#77", process, catalog.AttrAddress, "127.0.0.1", catalog.AttrPort, "8080")
	h.Set(catalog.ProcessListens, process, 1)
	h.Set(catalog.ListenerBacklog, listener, 8)
	h.Each(catalog.ListenerQueue, listener, queue)
	h.Set(catalog.ListenerDrops, listener, 10*perSecond)
	return h, process, listener
}

func empty(int) float64 { return 0 }
func full(int) float64  { return 9 }

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

func TestBurstsIntoAShortQueue(t *testing.T) {
	h, process, _ := server(t, 31, empty)
	h.Ticks(h.Loop(process), 1000, 0.001, observe.Parts{CPU: 1})
	f := h.One(Analyzer)
	want(t, f, analysis.Critical, backlogTooSmall, analysis.RaiseBacklog)
	// 31 connections dropped and 9 in the queue within a second, times 1.5.
	if q := f.Recommendations[0].Quantity; q.Value != 60 || q.High != nil {
		t.Errorf("backlog = %+v, want 60 or more", q)
	}
	if !strings.Contains(f.Summary, "listener 127.0.0.1:8080 of node server.js (pid 42)") {
		t.Errorf("summary = %q", f.Summary)
	}
	if len(f.Lost) > 0 {
		t.Errorf("lost = %v: a short queue is a symptom of nothing", f.Lost)
	}
}

// TestConnectionsAtOnce checks that the backlog follows what wanted to wait at a time, and
// not how often clients tried again within a second.
func TestConnectionsAtOnce(t *testing.T) {
	h, _, listener := server(t, 200, empty)
	h.Each(catalog.ListenerBurst, listener, func(second int) float64 { return float64(second%4) * 12 })
	f := h.One(Analyzer)
	want(t, f, analysis.Critical, backlogTooSmall, analysis.RaiseBacklog)
	if q := f.Recommendations[0].Quantity; q.Value != 45 {
		t.Errorf("backlog = %+v, want 1.25 times the 36 connections that arrived at once", q)
	}
	if !strings.Contains(f.Summary, "up to 36 connections arrived at once") {
		t.Errorf("summary = %q", f.Summary)
	}
}

func TestOneDropIsCounted(t *testing.T) {
	for _, c := range []struct {
		perSecond float64
		want      analysis.Severity
	}{{0, analysis.Healthy}, {0.1, analysis.Warning}, {0.9, analysis.Warning}, {1, analysis.Critical}} {
		h, _, _ := server(t, c.perSecond, empty)
		got := analysis.Healthy
		if f := h.One(Analyzer); f != nil {
			got = f.Severity
		}
		if got != c.want {
			t.Errorf("severity of %v a second = %s, want %s", c.perSecond, got, c.want)
		}
	}
}

func TestQueueThatStaysFullIsASlowServer(t *testing.T) {
	h, _, _ := server(t, 5, full)
	want(t, h.One(Analyzer), analysis.Critical, slowAccept, analysis.AddProcesses)
}

func TestHotThreadIsASlowServer(t *testing.T) {
	h, process, _ := server(t, 5, empty)
	h.Set(catalog.ThreadCPU, h.Add(observe.Thread, "42:1/43", process), 9.5)
	f := h.One(Analyzer)
	want(t, f, analysis.Critical, slowAccept, analysis.AddProcesses)
	if f.Lost[oneThread] <= 0 || f.Lost[oneThread] != f.LostTotal {
		t.Errorf("lost = %v of %v, want all of it by the thread", f.Lost, f.LostTotal)
	}
}

func TestBlockedLoopMakesTheQueueOverflow(t *testing.T) {
	h, process, _ := server(t, 5, empty)
	h.Ticks(h.Loop(process), 20, 0.25, observe.Parts{CPU: 5})
	folded(t, h, eventloopblocked.Analyzer)
}

func folded(t *testing.T, h *handmade.Host, under ...*analysis.Analyzer) {
	t.Helper()
	r := h.Run(append(under, Analyzer)...)
	for _, f := range r.Findings {
		if f.Analyzer != Analyzer {
			continue
		}
		want(t, f, f.Severity, slowAccept, analysis.AddProcesses)
		if f.SymptomOf == nil || f.SymptomOf.Analyzer != under[len(under)-1] {
			t.Errorf("%s is a symptom of %+v, want %s", f.Analyzer.Name, f.SymptomOf, under[len(under)-1].Name)
		}
		return
	}
	t.Fatal("no finding")
}

// TestBurstsThatAlsoATimelyLoopWouldDrop checks that the finding is not a symptom
// if ticks of 20 ms would overflow the queue as well: at 2000 connections per
// second, more than 8 arrive in that time.
func TestBurstsThatAlsoATimelyLoopWouldDrop(t *testing.T) {
	h, process, _ := server(t, 2000, empty)
	h.Ticks(h.Loop(process), 20, 0.25, observe.Parts{CPU: 5})
	for _, f := range h.Run(eventloopblocked.Analyzer, Analyzer).Findings {
		if f.SymptomOf != nil {
			t.Errorf("%s is a symptom of %s", f.Summary, f.SymptomOf.Analyzer.Name)
		}
	}
}

// TestQuotaAtTheRoot checks that a low CPU limit, the late loop and the full queue
// are one problem.
func TestQuotaAtTheRoot(t *testing.T) {
	h := handmade.New(t, 10, 2)
	c := h.Add(observe.Cgroup, "/api", observe.None, catalog.AttrContainerName, "api")
	for m, v := range map[*observe.Metric]float64{
		catalog.CgroupCPULimit: 0.2, catalog.CgroupCPUPeriod: 0.1, catalog.CgroupPeriods: 100, catalog.CgroupThrottled: 98,
		catalog.CgroupThrottledS: 7.8, catalog.CgroupCPUTime: 2,
	} {
		h.Set(m, c, v)
	}
	process := h.Process("42", "node", "node server.js", c)
	h.Set(catalog.ProcessListens, process, 1)
	h.Ticks(h.Loop(process), 25, 0.4, observe.Parts{CPU: 2, Throttled: 8})
	listener := h.Add(observe.Listener, "[::]:80#1", process, catalog.AttrAddress, "::", catalog.AttrPort, "80")
	h.Set(catalog.ListenerBacklog, listener, 511)
	h.Set(catalog.ListenerDrops, listener, 50)
	folded(t, h, eventloopblocked.Analyzer, cputhrottled.Analyzer)
}

func TestNoDescriptorToAcceptWith(t *testing.T) {
	h, process, _ := server(t, 5, full)
	h.Set(catalog.ProcessFDs, process, 256)
	h.Set(catalog.ProcessFDLimit, process, 256)
	folded(t, h, fdexhaustion.Analyzer)
}

func TestLoopInTimeIsNotBlamed(t *testing.T) {
	h, process, _ := server(t, 5, full)
	h.Ticks(h.Loop(process), 1000, 0.001, observe.Parts{CPU: 1})
	f := h.One(Analyzer)
	want(t, f, analysis.Critical, slowAccept, analysis.AddProcesses)
	if f.LostTotal != 0 {
		t.Errorf("lost = %v of %v: the loop was in time", f.Lost, f.LostTotal)
	}
}

func TestSomaxconnIsNamedWhereItCaps(t *testing.T) {
	for backlog, named := range map[float64]bool{511: false, 128: true, 4096: true} {
		h, _, listener := server(t, 5, empty)
		h.Set(catalog.ListenerBacklog, listener, backlog)
		f := h.One(Analyzer)
		if got := strings.Contains(f.Recommendations[0].Action, "somaxconn"); got != named {
			t.Errorf("backlog %v: %s", backlog, f.Recommendations[0].Action)
		}
	}
}

// TestWhichNumberToRaise checks which number the advice raises: net.core.somaxconn
// if it cuts the queue, otherwise the backlog that the program requested.
func TestWhichNumberToRaise(t *testing.T) {
	for _, tt := range []struct {
		name               string
		backlog, somaxconn float64
		begins             string
		also               bool // the other number
	}{
		{"cut", 16, 16, "Raise net.core.somaxconn of its network namespace from 16 to ", true},
		{"asked for less", 8, 4096, "Raise the backlog of listener 127.0.0.1:8080 of node server.js (pid 42) from 8 to ", false},
		{"asked for less, and would be cut", 4, 8, "Raise the backlog of listener 127.0.0.1:8080 of node server.js (pid 42) from 4 to ", true},
	} {
		h, _, listener := server(t, 5, empty)
		h.Set(catalog.ListenerBacklog, listener, tt.backlog)
		h.Set(catalog.ListenerSomaxconn, listener, tt.somaxconn)
		action := h.One(Analyzer).Recommendations[0].Action
		if both := strings.Contains(action, "somaxconn") && strings.Contains(action, "listen({backlog})"); !strings.HasPrefix(action, tt.begins) || both != tt.also {
			t.Errorf("%s: %s", tt.name, action)
		}
	}
}
