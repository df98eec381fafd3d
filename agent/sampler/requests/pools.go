// SPDX-License-Identifier: Apache-2.0

package requests

import (
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/patience"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/agent/symbols/libuv"
)

// This file samples the pools of threads of libuv: how many threads there are, how many
// work, and how much work waits for one. The threads of a process are read only while work
// waits.

// maxPools is the maximum number of processes whose pool is read. A reading takes 0.1 ms
// if a few pieces of work wait, on a host without idle cores.
const maxPools = 32

// pools has the pools of the processes that serve.
type pools struct {
	host    *sampler.Host
	proc    procDir
	layouts layouts
	known   map[observe.ID]*pooled
	took    time.Duration // by the last reading
}

// pooled is the pool of one process, and what its threads were seen in.
type pooled struct {
	pool     *pool
	readings float64 // at which work waited
	calls    *counts
}

func newPools(host *sampler.Host) *pools {
	return &pools{host: host, proc: procDir(host.Proc), layouts: make(layouts), known: make(map[observe.ID]*pooled)}
}

// read reads the pools, and writes what is known of them.
func (t *pools) read(s *observe.Snapshot, now map[observe.ID]total) {
	t.forget(s, now)
	if t.host.Turn(t.took) {
		began := time.Now()
		for id, served := range now {
			switch p := t.of(id, served.pid); {
			case p == nil:
			case p.pool.layout != nil:
				t.sample(s, id, p)
			case served.oldest >= slow:
				s.ProcessGap(id, "requests", "whether requests wait for its pool of threads is not known: its executable has no symbols of libuv", "use an official build of Node.js")
			}
		}
		t.took = time.Since(began)
	}
	for id, p := range t.known {
		if p.pool.layout != nil {
			s.Set(catalog.PoolReadings, id, p.readings)
			p.calls.write(s, catalog.PoolThreadsIn, id)
		}
	}
}

// of returns the pool of a process; nil if it has none.
func (t *pools) of(id observe.ID, pid int) *pooled {
	if p := t.known[id]; p != nil {
		return p
	}
	if t.host.Index.Attr(id, catalog.AttrRuntime) != "node" || len(t.known) >= maxPools {
		return nil
	}
	found, ok := t.layouts.pool(t.proc, t.host.Patience, pid)
	if !ok {
		return nil
	}
	p := &pooled{pool: found, calls: newCounts(t.host, "pool")}
	t.known[id] = p
	return p
}

func (t *pools) sample(s *observe.Snapshot, id observe.ID, p *pooled) {
	type answer struct {
		state poolState
		ok    bool
	}
	ask := patience.Call{Source: "requests", Lost: "whether work waits for its pool of threads", PID: p.pool.pid, File: "mem"}
	a, answered := patience.Ask(t.host.Patience, ask, func() answer {
		state, ok := p.pool.state()
		return answer{state, ok}
	})
	if !answered || !a.ok {
		return
	}
	all := 0.0
	for _, n := range a.state.waiting {
		all += n
	}
	s.Set(catalog.PoolThreads, id, a.state.threads)
	s.Set(catalog.PoolActive, id, a.state.threads-a.state.idle)
	s.Set(catalog.PoolWaiting, id, all)
	s.Set(catalog.PoolLookups, id, a.state.lookups)
	s.Set(catalog.PoolWaitingLookups, id, a.state.waiting[libuv.Lookup])
	s.Set(catalog.PoolWaitingFiles, id, a.state.waiting[libuv.File])
	if all == 0 {
		return
	}
	p.readings++
	for c, n := range t.proc.calls(t.host.Patience, p.pool.pid) {
		p.calls.add(id, c, float64(n))
	}
}

// forget drops the processes that do not serve any more.
func (t *pools) forget(s *observe.Snapshot, now map[observe.ID]total) {
	for id, p := range t.known {
		if _, ok := now[id]; !ok {
			p.calls.end(s)
			delete(t.known, id)
		}
	}
}
