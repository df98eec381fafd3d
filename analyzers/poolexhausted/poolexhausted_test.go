// SPDX-License-Identifier: Apache-2.0

package poolexhausted

import (
	"fmt"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

const seconds = 12

// A pool is a service whose requests use connections to PostgreSQL.
type pool struct {
	program               string
	size, used, idle      float64 // connections; idle is a share
	active, answered, use float64 // requests, requests per second, uses per request
	busy                  float64 // of the event loop, a share
}

// full is one that is exhausted: 50 requests at a time share 2 connections, for 50 ms each.
func full() pool {
	return pool{program: "node", size: 2, used: 1.98, active: 50, answered: 40, use: 1}
}

func (c pool) host(t *testing.T) *handmade.Host {
	h := handmade.New(t, seconds, 8)
	h.Idle(7)
	p := h.Process("42", c.program, "api", observe.None, catalog.AttrExecutable, c.program)
	h.Set(catalog.RequestActive, p, c.active)
	h.Set(catalog.RequestArrivals, p, c.answered*seconds)
	h.Hist(catalog.RequestDuration, p, c.active/max(1, c.answered), c.answered*seconds)
	h.Set(catalog.ProcessCPU, p, 0.01*seconds)
	h.Ticks(h.Loop(p), 100, c.busy*seconds/100, observe.Parts{CPU: c.busy * seconds})
	id := h.Add(observe.Client, "42/10.0.0.9:5432", p, catalog.AttrDatabase, "postgresql", catalog.AttrDestination, "10.0.0.9", catalog.AttrDestPort, "5432")
	h.Set(catalog.ClientConnections, id, c.size)
	h.Set(catalog.ClientUsedTime, id, c.used*seconds)
	h.Set(catalog.ClientIdleTime, id, c.idle*c.used*seconds)
	h.Set(catalog.ClientUses, id, c.use*c.answered*seconds)
	return h
}

func TestExhausted(t *testing.T) {
	f := full().host(t).One(Analyzer)
	if f == nil || f.Cause != tooFew || f.Severity != analysis.Warning {
		t.Fatalf("finding %+v, want a warning of too few connections", f)
	}
	if n := f.Recommendations[0].Quantity; n.Value != 50 || *n.Low != 3 {
		t.Errorf("%v connections from %v, want 50 from 3", n.Value, *n.Low)
	}
}

func TestHeldIdle(t *testing.T) {
	c := full()
	c.idle = 0.9
	f := c.host(t).One(Analyzer)
	if f == nil || f.Cause != heldIdle || f.Recommendations[0].Verb != analysis.ReleaseEarlier || len(f.Recommendations) != 2 {
		t.Errorf("finding %+v, want the advice to release connections, then a size", f)
	}
}

// TestLoopLimitsTheNumber checks that no more connections are advised than the event loop
// can serve.
func TestLoopLimitsTheNumber(t *testing.T) {
	c := full()
	c.busy = 0.2
	f := c.host(t).One(Analyzer)
	if f == nil || f.Recommendations[0].Quantity.Value != 6 {
		t.Errorf("finding %+v, want 6 connections: 1.98 fill 0.2 of a loop, which is for 0.7", f)
	}
}

// TestSilent checks what looks similar.
func TestSilent(t *testing.T) {
	for name, change := range map[string]func(*pool){
		"nobody waits":                             func(c *pool) { c.active = 1.98 },
		"connections are free":                     func(c *pool) { c.used = 1.5 },
		"one connection is no pool":                func(c *pool) { c.size, c.used = 1, 0.99 },
		"PgBouncer":                                func(c *pool) { c.program = "pgbouncer" },
		"a session that is held":                   func(c *pool) { c.use = 0.001 },
		"most requests use no connection":          func(c *pool) { c.use = 0.3 },
		"a short wait":                             func(c *pool) { c.active, c.answered = 4, 2000 },
		"the event loop is full":                   func(c *pool) { c.busy = 0.8 },
		"a consumer of a queue answers no request": func(c *pool) { c.active, c.answered = 0, 0 },
	} {
		t.Run(name, func(t *testing.T) {
			c := full()
			change(&c)
			if f := c.host(t).One(Analyzer); f != nil {
				t.Errorf("finding %s, want none", fmt.Sprint(f.Summary))
			}
		})
	}
}
