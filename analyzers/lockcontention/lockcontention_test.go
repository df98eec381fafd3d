// SPDX-License-Identifier: Apache-2.0

package lockcontention

import (
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

const seconds = 12

// A service is one whose threads wait for a lock.
type service struct {
	kind                                 string
	readings, waited, waiters            float64 // waited is a share of the readings, waiters a mean
	requests, answered, used, idle, stop float64
	held                                 string // the call of the holder
}

// interpreter is a Python with 8 requests that compute.
func interpreter() service {
	return service{kind: catalog.LockInterpreter, readings: 11, waited: 1, waiters: 6.5, requests: 8, answered: 20, used: 1, idle: 2}
}

// mutex is a service whose threads wait for one that flushes a file.
func mutex() service {
	return service{kind: catalog.LockMutex, readings: 11, waited: 1, waiters: 6.5, requests: 8, answered: 20, used: 0.2, idle: 7, held: "fdatasync"}
}

func (c service) host(t *testing.T) *handmade.Host {
	h := handmade.New(t, seconds, 8)
	h.Idle(c.idle)
	group := h.Add(observe.Cgroup, "/docker/1", observe.None)
	p := h.Process("42", "python", "api", group)
	h.Set(catalog.CgroupThrottledS, group, c.stop)
	h.Set(catalog.RequestActive, p, c.requests)
	h.Set(catalog.RequestOldest, p, 1)
	h.Hist(catalog.RequestDuration, p, 0.4, c.answered*seconds)
	h.Set(catalog.ProcessCPU, p, c.used*seconds)
	h.Set(catalog.LockReadings, p, c.readings)
	lock := h.Add(observe.Call, "42:1/lock", p, catalog.AttrCall, "futex", catalog.AttrLock, c.kind)
	h.Pair(catalog.LockWaited, p, lock, c.waited*c.readings)
	h.Pair(catalog.LockWaiters, p, lock, c.waiters*c.readings)
	if c.kind == catalog.LockMutex {
		in := h.Add(observe.Call, "42:1/held", p, catalog.AttrCall, c.held, catalog.AttrTID, "50", catalog.AttrThreadName, "flusher")
		h.Pair(catalog.LockHeldIn, p, in, c.waited*c.readings)
	}
	return h
}

func TestInterpreter(t *testing.T) {
	f := interpreter().host(t).One(Analyzer)
	if f == nil || f.Cause != interpreterLock || f.Severity != analysis.Warning {
		t.Fatalf("finding %+v, want a warning about the interpreter", f)
	}
	if r := f.Recommendations[0]; r.Verb != analysis.AddProcesses || r.Quantity.Value != 2 {
		t.Errorf("advice %+v, want 2 more processes for 2 idle cores", r)
	}
}

func TestMutex(t *testing.T) {
	for held, want := range map[string]string{"fdatasync": "in fdatasync (a flush to disk)", "": "is on the CPU or waits for one"} {
		c := mutex()
		c.held = held
		f := c.host(t).One(Analyzer)
		if f == nil || f.Cause != oneLock || !strings.Contains(f.Summary, "its thread flusher (tid 50), which holds it 100% of that time") || !strings.Contains(f.Summary, want) {
			t.Errorf("finding %+v, want one that says %q", f, want)
		}
	}
}

// TestThrottled checks that a holder that is stopped is a symptom of that.
func TestThrottled(t *testing.T) {
	for stopped, want := range map[float64]bool{1: true, 9: false} {
		c := interpreter()
		c.stop = stopped
		if f := c.host(t).One(Analyzer); f == nil || f.Without([]string{throttled}) != want {
			t.Errorf("throttled for %v s: finding %+v, want it to stand: %t", stopped, f, want)
		}
	}
}

// TestSilent checks what looks similar.
func TestSilent(t *testing.T) {
	for name, change := range map[string]func(*service){
		"a lock that is often free":   func(c *service) { c.waited, c.waiters = 0.3, 0.5 },
		"a full host":                 func(c *service) { c.idle = 0.1 },
		"short waits":                 func(c *service) { c.answered = 1000 },
		"two readings":                func(c *service) { c.readings = 2 },
		"a batch job without clients": func(c *service) { c.requests = 0.1 },
		"a batch job, and long polls": func(c *service) { c.requests, c.answered, c.waiters = 100, 2, 3 },
	} {
		t.Run(name, func(t *testing.T) {
			c := interpreter()
			change(&c)
			if f := c.host(t).One(Analyzer); f != nil {
				t.Errorf("finding %s, want none", f.Summary)
			}
		})
	}
}
