// SPDX-License-Identifier: Apache-2.0

package threadpoolexhausted

import (
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

const seconds = 12

// A service is one of Node.js with a pool, as it is read each second.
type service struct {
	threads, active, waiting float64
	lookups, lookupsWaiting  float64
	requests, answered, idle float64 // answered is per second
	computing                float64 // cores, beside the event loop
	call, target, port       string
	inCall                   float64 // threads
	waits                    func(second int) bool
	throttled                float64
	oldest                   float64
}

// computing is a service whose pool of 2 threads hashes passwords.
func computing() service {
	return service{threads: 2, active: 2, waiting: 6, requests: 8, answered: 10, idle: 5, computing: 1.9, oldest: 1}
}

// resolving is one whose DNS server does not answer.
func resolving() service {
	return service{threads: 4, active: 2, waiting: 20, lookups: 2, lookupsWaiting: 20, requests: 25, answered: 5, idle: 7, oldest: 4,
		call: "poll", target: catalog.TargetInet, port: "53", inCall: 2}
}

func (c service) host(t *testing.T) *handmade.Host {
	h := handmade.New(t, seconds, 8)
	h.Idle(c.idle)
	group := h.Add(observe.Cgroup, "/docker/1", observe.None)
	p := h.Process("42", "node", "api", group)
	h.Loop(p)
	h.Set(catalog.CgroupThrottledS, group, c.throttled)
	h.Set(catalog.RequestActive, p, c.requests)
	h.Set(catalog.RequestOldest, p, c.oldest)
	if c.answered > 0 {
		h.Hist(catalog.RequestDuration, p, 1, c.answered*seconds)
	}
	h.Set(catalog.PoolThreads, p, c.threads)
	h.Set(catalog.PoolActive, p, c.active)
	h.Each(catalog.PoolWaiting, p, func(second int) float64 {
		if c.waits != nil && !c.waits(second) {
			return 0
		}
		return c.waiting
	})
	h.Set(catalog.PoolLookups, p, c.lookups)
	h.Set(catalog.PoolWaitingLookups, p, c.lookupsWaiting)
	h.Set(catalog.ThreadCPU, h.Add(observe.Thread, "42:1/50", p, catalog.AttrTID, "50"), c.computing*seconds)
	h.Set(catalog.PoolReadings, p, seconds)
	if c.call != "" {
		call := h.Add(observe.Call, "42:1/pool", p, catalog.AttrCall, c.call, catalog.AttrTarget, c.target, catalog.AttrDestination, "10.0.0.2", catalog.AttrDestPort, c.port)
		h.Pair(catalog.PoolThreadsIn, p, call, c.inCall*seconds)
	}
	return h
}

func TestComputes(t *testing.T) {
	f := computing().host(t).One(Analyzer)
	if f == nil || f.Cause != tooSmall || f.Severity != analysis.Warning {
		t.Fatalf("finding %+v, want a warning of a small pool", f)
	}
	if n := f.Recommendations[0].Quantity; n.Value != 7 || *n.Low != 3 {
		t.Errorf("%v threads from %v, want 7 from 3: 2 and one for each of 5 idle cores", n.Value, *n.Low)
	}
}

// TestNoCPU checks that no larger pool is advised if the host is full.
func TestNoCPU(t *testing.T) {
	c := computing()
	c.idle = 0.1
	f := c.host(t).One(Analyzer)
	if f == nil || f.Cause != outOfCPU || f.Recommendations[0].Verb != analysis.ReduceWork || f.Without([]string{hostFull}) {
		t.Errorf("finding %+v, want a symptom of a full host", f)
	}
}

// TestThrottled checks that a pool whose cgroup is throttled is a symptom of that.
func TestThrottled(t *testing.T) {
	for stopped, want := range map[float64]bool{1: true, 9: false} {
		c := computing()
		c.throttled = stopped
		if f := c.host(t).One(Analyzer); f == nil || f.Without([]string{throttled}) != want {
			t.Errorf("throttled for %v s: finding %+v, want it to stand: %t", stopped, f, want)
		}
	}
}

func TestResolves(t *testing.T) {
	f := resolving().host(t).One(Analyzer)
	if f == nil || f.Cause != blocked || !strings.Contains(f.Summary, "(the DNS server 10.0.0.2)") {
		t.Fatalf("finding %+v, want names", f)
	}
	if f.Recommendations[0].Verb != analysis.MakeAsync || f.Recommendations[1].Quantity.Value != 43 {
		t.Errorf("advice %+v, want dns.resolve, then 43 threads: 22 of them resolve names", f.Recommendations)
	}
}

func TestFiles(t *testing.T) {
	c := computing()
	c.computing, c.call, c.target, c.inCall = 0.1, "pread64", catalog.TargetFile, 1.8
	f := c.host(t).One(Analyzer)
	if f == nil || f.Cause != blocked || f.Recommendations[0].Verb != analysis.SetPoolSize || f.Recommendations[0].Quantity.Value != 8 {
		t.Errorf("finding %+v, want 8 threads: one for each call", f)
	}
}

// TestUnanswered checks that requests without any answer wait as well.
func TestUnanswered(t *testing.T) {
	c := resolving()
	c.answered, c.oldest = 0, 12
	if f := c.host(t).One(Analyzer); f == nil || f.Severity != analysis.Critical {
		t.Errorf("finding %+v, want a critical one: nothing was answered for 12 s", f)
	}
}

// TestSilent checks what looks similar.
func TestSilent(t *testing.T) {
	for name, change := range map[string]func(*service){
		"busy, and nothing waits":       func(c *service) { c.waiting = 0 },
		"a burst":                       func(c *service) { c.waits = func(second int) bool { return second < 4 } },
		"short waits":                   func(c *service) { c.answered = 2000 },
		"a batch job, and few requests": func(c *service) { c.requests = 0.1 },
		"a batch job, and long polls":   func(c *service) { c.requests, c.answered = 100, 2 },
	} {
		t.Run(name, func(t *testing.T) {
			c := computing()
			change(&c)
			if f := c.host(t).One(Analyzer); f != nil {
				t.Errorf("finding %s, want none", f.Summary)
			}
		})
	}
}
