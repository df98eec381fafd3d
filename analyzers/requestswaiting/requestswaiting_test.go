// SPDX-License-Identifier: Apache-2.0

package requestswaiting

import (
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

const seconds = 12

// server returns a process of a runtime with n requests in flight, each of which took so
// long, on a host with 2 idle cores.
func server(t *testing.T, runtime string, n, took float64) (*handmade.Host, observe.ID) {
	h := handmade.New(t, seconds, 2)
	h.Idle(1.5)
	p := h.Process("42", runtime, "api", observe.None)
	h.Set(catalog.RequestActive, p, n)
	h.Set(catalog.RequestOldest, p, took)
	h.Set(catalog.RequestUnreadAge, p, 0)
	if took > 0 {
		h.Set(catalog.RequestArrivals, p, n*seconds/took)
		h.Hist(catalog.RequestDuration, p, took, n*seconds/took)
	}
	h.Set(catalog.ProcessThreads, p, 4)
	return h, p
}

func TestUnread(t *testing.T) {
	for age, want := range map[float64]analysis.Severity{0.5: analysis.Healthy, 2: analysis.Warning, 11: analysis.Critical} {
		h, p := server(t, "redis", 3, 0)
		h.Set(catalog.RequestUnread, p, 3)
		h.Vary(catalog.RequestUnreadAge, p, func(second float64) float64 { return age * second / seconds })
		f := h.One(Analyzer)
		if want == analysis.Healthy && f != nil || want > analysis.Healthy && (f == nil || f.Severity != want || f.Cause != unknown) {
			t.Errorf("unread for %v s: finding %+v, want %s", age, f, want)
		}
	}
}

// TestLoopExplains checks that requests which wait for a blocked loop are a symptom.
func TestLoopExplains(t *testing.T) {
	for busy, want := range map[float64]bool{11: false, 3: false, 1: true} {
		h, p := server(t, "node", 3, 0)
		h.Set(catalog.RequestUnreadAge, p, 4)
		h.Ticks(h.Loop(p), 1, busy, observe.Parts{CPU: busy})
		f := h.One(Analyzer)
		if f == nil || f.LostTotal != 4 || f.Lost[loopBlocked] < min(4, busy)-0.1 || f.Without([]string{loopBlocked}) != want {
			t.Errorf("loop busy for %v s: finding %+v, want it to stand without the loop: %t", busy, f, want)
		}
	}
}

// growing adds requests that arrive on connections and are not answered.
func growing(h *handmade.Host, p observe.ID, requests, connections func(second float64) float64) {
	h.Set(catalog.RequestArrivals, p, requests(seconds))
	h.Vary(catalog.RequestActive, p, requests)
	h.Vary(catalog.RequestOldest, p, func(second float64) float64 { return second })
	h.Vary(catalog.ProcessAccepted, p, connections)
}

func TestPilesUp(t *testing.T) {
	each := func(second float64) float64 { return 9 * second }
	always := func(float64) float64 { return 108 }
	burst := func(second float64) float64 { return 108 * min(1, second/3) }
	for name, c := range map[string]struct {
		requests, connections func(float64) float64
		found                 bool
	}{
		"more and more":                      {each, each, true},
		"long polls of before the window":    {each, always, false},
		"clients come back after a restart":  {burst, burst, false},
		"a few, as at the start of a client": {func(s float64) float64 { return s / 2 }, each, false},
	} {
		h, p := server(t, "node", 0, 0)
		growing(h, p, c.requests, c.connections)
		if f := h.One(Analyzer); (f != nil) != c.found {
			t.Errorf("%s: finding %+v, want one: %t", name, f, c.found)
		}
	}
}

// TestBlockedThreads checks that calls of threads show the cause, and that a connection to
// a broker alone is no evidence.
func TestBlockedThreads(t *testing.T) {
	for port, found := range map[string]bool{"53": true, "5672": false} {
		h, p := server(t, "node", 1, 2)
		call := h.Add(observe.Call, "42:1/poll", p, catalog.AttrCall, "poll", catalog.AttrTarget, catalog.TargetInet,
			catalog.AttrDestination, "127.0.0.9", catalog.AttrDestPort, port)
		h.Set(catalog.RequestReadings, p, seconds)
		h.Pair(catalog.RequestThreads, p, call, 2*seconds)
		f := h.One(Analyzer)
		if (f != nil) != found {
			t.Fatalf("port %s: finding %+v, want one: %t", port, f, found)
		}
		if found && (f.Cause != blockedOnDescriptor || !strings.Contains(f.Summary, "2 threads of it are blocked in poll (the DNS server 127.0.0.9)")) {
			t.Errorf("%s: %s", f.Cause, f.Summary)
		}
	}
}

// TestFullThread checks requests that wait for one thread of a pool, or for an interpreter
// that runs one thread at a time.
func TestFullThread(t *testing.T) {
	for _, c := range []struct {
		runtime              string
		requests, took, used float64
		thread, found        bool
	}{
		{"node", 8, 0.4, 1, true, true},
		{"node", 2, 1.5, 1, true, false},   // a report that computes: one runs, one is next
		{"node", 8, 0.05, 1, true, false},  // short
		{"node", 8, 0.4, 0.5, true, false}, // it has time left
		{"python", 4, 0.3, 1, false, true},
		{"jvm", 4, 0.3, 1, false, false},
	} {
		h, p := server(t, c.runtime, c.requests, c.took)
		h.Set(catalog.ProcessCPU, p, c.used*seconds)
		if c.thread {
			h.Set(catalog.ThreadCPU, h.Add(observe.Thread, "42:1/50", p, catalog.AttrTID, "50"), c.used*seconds)
		}
		f := h.One(Analyzer)
		if (f != nil) != c.found || f != nil && (f.Cause != waitingForThread || f.Severity != analysis.Warning) {
			t.Errorf("%+v: finding %+v", c, f)
		}
	}
}

// TestThreadsExplain checks that requests which wait for a pool of threads, or for the lock
// of the interpreter, are a symptom of that.
func TestThreadsExplain(t *testing.T) {
	for waiting, want := range map[float64]bool{7: false, 1: true} {
		h, p := server(t, "node", 8, 0.4)
		h.Set(catalog.ProcessCPU, p, seconds)
		h.Set(catalog.ThreadCPU, h.Add(observe.Thread, "42:1/50", p, catalog.AttrTID, "50"), seconds)
		h.Set(catalog.PoolThreads, p, 1)
		h.Set(catalog.PoolActive, p, 1)
		h.Set(catalog.PoolWaiting, p, waiting)
		if f := h.One(Analyzer); f == nil || f.Without([]string{threadPool}) != want {
			t.Errorf("%v pieces of work wait for the pool: finding %+v, want it to stand: %t", waiting, f, want)
		}
	}
	h, p := server(t, "python", 4, 0.3)
	h.Set(catalog.ProcessCPU, p, seconds)
	lock := h.Add(observe.Call, "42:1/lock", p, catalog.AttrCall, "futex", catalog.AttrLock, catalog.LockInterpreter)
	h.Set(catalog.LockReadings, p, seconds)
	h.Pair(catalog.LockWaited, p, lock, seconds)
	h.Pair(catalog.LockWaiters, p, lock, 2*seconds)
	if f := h.One(Analyzer); f == nil || f.Without([]string{oneLock}) {
		t.Errorf("finding %+v, want it explained by the lock of the interpreter", f)
	}
}

// TestLongAnswers checks that requests which share few connections are an info, and that
// reports and long polls without them are none.
func TestLongAnswers(t *testing.T) {
	for _, c := range []struct {
		name                string
		runtime             string
		requests, took, out float64
		found               bool
	}{
		{"a pool of five", "node", 60, 4.8, 5, true},
		{"a report", "node", 6, 1.5, 4, false},
		{"long polls", "node", 60, 20, 0, false},
		{"blocked clients of redis", "redis", 60, 20, 1, false},
	} {
		h, p := server(t, c.runtime, c.requests, c.took)
		h.Set(catalog.ProcessAccepted, p, c.requests)
		h.Set(catalog.ProcessEstablished, p, c.requests+c.out)
		f := h.One(Analyzer)
		if (f != nil) != c.found || f != nil && f.Severity != analysis.Info {
			t.Errorf("%s: finding %+v, want one: %t", c.name, f, c.found)
		}
	}
}

// TestUpstreamExplains checks that requests which wait for a database are a symptom of it.
func TestUpstreamExplains(t *testing.T) {
	for share, want := range map[float64]bool{0.9: false, 0.3: true} {
		h, p := server(t, "node", 8, 2)
		id := h.Add(observe.Client, "42/10.0.0.9:5432", p, catalog.AttrDatabase, "postgresql", catalog.AttrDestination, "10.0.0.9", catalog.AttrDestPort, "5432")
		h.Hist(catalog.CallDuration, id, 2*share, 8*seconds/2)
		h.Set(catalog.RequestUnreadAge, p, 4)
		f := h.One(Analyzer)
		if f == nil || f.Without([]string{slowUpstream}) != want {
			t.Errorf("calls for %v of the time: finding %+v, want it to stand without them: %t", share, f, want)
		}
	}
}
