// SPDX-License-Identifier: Apache-2.0

// Package requests samples the requests that each process answers: how many arrive, the
// distribution of the times until the answer begins, and what is in flight. It is a thin
// layer over bpf/requests, which measures.
package requests

import (
	"fmt"
	"maps"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/bpf/requests"
)

// Sampler reads requests at the sockets of servers.
var Sampler = &sampler.Sampler{
	Name: "requests",
	Doc:  "Counts the requests that each process answers on TCP connections, how long each answer took, and which are in flight, for any protocol in which a client waits for an answer (eBPF, Linux 6.3).",
	Provides: []*observe.Metric{catalog.RequestArrivals, catalog.RequestDuration, catalog.RequestActive, catalog.RequestOldest,
		catalog.RequestUnread, catalog.RequestUnreadAge, catalog.RequestReadings, catalog.RequestThreads, catalog.RequestLeftOut,
		catalog.PoolThreads, catalog.PoolActive, catalog.PoolWaiting, catalog.PoolLookups, catalog.PoolWaitingLookups, catalog.PoolWaitingFiles,
		catalog.PoolReadings, catalog.PoolThreadsIn, catalog.LockReadings, catalog.LockWaited, catalog.LockWaiters, catalog.LockHeldIn},
	Open: open,
}

// A probe is the probe of bpf/requests, or of a test.
type probe interface {
	Read(yield func(*requests.Server) (keep bool)) error
	Lost() requests.Lost
}

type reader struct {
	probe probe
	host  *sampler.Host
	lost  requests.Lost
	now   map[observe.ID]total
	// arrived is the last number of arrivals of each process: see arrivals.
	arrived map[observe.ID]float64
	threads *threads
	pools   *pools
	locks   *locks
}

// A total is the sum over all ports of a process.
type total struct {
	pid                               int
	arrivals, active, unread, leftOut float64
	oldest, oldestUnread              time.Duration
}

func open(host *sampler.Host) (sampler.Reader, error) {
	p, err := sampler.Probe[*requests.Probe](host, "requests")
	if err != nil {
		return nil, err
	}
	return newReader(host, p), nil
}

func newReader(host *sampler.Host, p probe) *reader {
	return &reader{probe: p, host: host, now: make(map[observe.ID]total), arrived: make(map[observe.ID]float64), threads: newThreads(host), pools: newPools(host), locks: newLocks(host)}
}

// userTick is the unit of start times in /proc, 1/USER_HZ.
const userTick = 10 * time.Millisecond

// Read implements sampler.Reader.
func (r *reader) Read(s *observe.Snapshot) error {
	clear(r.now)
	err := r.probe.Read(func(v *requests.Server) bool {
		id, ok := r.host.Identity.Process(int(v.Tgid), v.Start/uint64(userTick))
		if ok {
			r.add(s, id, v)
		}
		return ok
	})
	if err != nil {
		return fmt.Errorf("reading requests: %w", err)
	}
	for id, t := range r.now {
		s.Set(catalog.RequestArrivals, id, r.arrivals(id, t))
		s.Set(catalog.RequestActive, id, t.active)
		s.Set(catalog.RequestOldest, id, t.oldest.Seconds())
		s.Set(catalog.RequestUnread, id, t.unread)
		s.Set(catalog.RequestUnreadAge, id, t.oldestUnread.Seconds())
		s.Set(catalog.RequestLeftOut, id, t.leftOut)
	}
	r.threads.read(s, r.now)
	r.pools.read(s, r.now)
	r.locks.read(s, r.now)
	maps.DeleteFunc(r.arrived, func(id observe.ID, _ float64) bool { _, ok := r.now[id]; return !ok })
	lost := r.probe.Lost()
	if lost.Connections > r.lost.Connections || lost.Servers > r.lost.Servers {
		s.Gap("requests", "the requests of some connections are not counted: the limit of the eBPF probe was reached", "")
	}
	r.lost = lost
	return nil
}

func (r *reader) Close() error { return nil } // the probe belongs to host.Probes

// add adds what a process answered on one port.
func (r *reader) add(s *observe.Snapshot, id observe.ID, v *requests.Server) {
	t := r.now[id]
	t.pid = int(v.Tgid)
	h := s.Hist(catalog.RequestDuration, id)
	for i, n := range v.Answered.Count {
		h.Count[i] += float64(n)
		h.Sum[i] += float64(v.Answered.Sum[i]) / 1e9
		t.arrivals += float64(n)
	}
	t.arrivals += float64(v.Unanswered) + float64(v.Active-v.Earlier)
	t.active += float64(v.Active)
	t.unread += float64(v.Unread)
	t.leftOut += float64(v.LeftOut)
	t.oldest, t.oldestUnread = max(t.oldest, v.Oldest), max(t.oldestUnread, v.OldestUnread)
	r.now[id] = t
}

// arrivals returns the number of arrivals, which never decreases. The probe counts answers:
// a request that was answered between the reading of what is in flight and that of the
// answers is counted in both, once.
func (r *reader) arrivals(id observe.ID, t total) float64 {
	n := max(t.arrivals, r.arrived[id])
	r.arrived[id] = n
	return n
}
