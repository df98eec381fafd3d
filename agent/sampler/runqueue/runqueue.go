// SPDX-License-Identifier: Apache-2.0

// Package runqueue samples which processes waited for a CPU, the durations of long
// waits, and which processes ran meanwhile. It is a thin layer over bpf/tick, which
// measures.
package runqueue

import (
	"fmt"
	"maps"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/bpf/tick"
)

// Sampler reads run-queue delays of a millisecond and more, and their culprits.
var Sampler = &sampler.Sampler{
	Name:     "runqueue",
	Doc:      "Measures delays of a millisecond or more between runnable and running, per process, and the processes that ran in the meantime (eBPF).",
	Provides: []*observe.Metric{catalog.RunQueueDelay, catalog.WaitedFor},
	Open:     open,
}

type reader struct {
	probe *tick.Probe
	host  *sampler.Host
	lost  tick.Lost
	pairs map[pids]pair
	round int
	now   map[uint32]observe.ID // processes by pid in this reading; observe.None if not known
}

// pids are the pids of a victim and a culprit, the only identification that the
// probe has.
type pids struct{ victim, culprit uint32 }

// A pair holds the processes that had these pids at the last reading, and the
// number of that reading.
type pair struct {
	victim, culprit observe.ID
	round           int
}

func open(host *sampler.Host) (sampler.Reader, error) {
	probe, err := sampler.Probe[*tick.Probe](host, "tick")
	if err != nil {
		return nil, err
	}
	return &reader{probe: probe, host: host, pairs: make(map[pids]pair), now: make(map[uint32]observe.ID)}, nil
}

// Read writes every process that was ever delayed. Throttling by a CPU limit does
// not count as run-queue time: bpf/tick leaves it out.
func (r *reader) Read(s *observe.Snapshot) error {
	err := r.probe.ReadRunQueue(func(q *tick.RunQueue) {
		id, ok := r.host.Identity.Process(int(q.Tgid), q.Start/uint64(userTick))
		if !ok {
			return
		}
		h := s.Hist(catalog.RunQueueDelay, id)
		for i := range q.Delays.Count {
			h.Count[i], h.Sum[i] = float64(q.Delays.Count[i]), float64(q.Delays.Sum[i])/1e9
		}
	})
	if err != nil {
		return fmt.Errorf("reading run-queue delays: %w", err)
	}
	if err := r.blame(s); err != nil {
		return err
	}
	lost := r.probe.Lost()
	if lost.RunQueues > r.lost.RunQueues || lost.Blame > r.lost.Blame {
		s.Gap("runqueue", "some processes that waited for a CPU have no distribution, or no process that used the CPU instead: the limit of the eBPF probe was reached", "")
	}
	r.lost = lost
	return nil
}

func (r *reader) Close() error { return nil } // the probe belongs to host.Probes

// userTick is the unit of start times in /proc, 1/USER_HZ.
const userTick = 10 * time.Millisecond

func (r *reader) blame(s *observe.Snapshot) error {
	r.round++
	clear(r.now)
	err := r.probe.ReadBlame(func(victim, culprit uint32, ns uint64) bool {
		v := r.process(victim)
		if v == observe.None {
			return false
		}
		if culprit == tick.CulpritOther || culprit == 0 {
			return true // not a process
		}
		c := r.process(culprit)
		if c == observe.None || !r.same(pids{victim, culprit}, v, c) {
			return false
		}
		s.SetPair(catalog.WaitedFor, v, c, float64(ns)/1e9)
		return true
	})
	if err != nil {
		return fmt.Errorf("reading the processes that ran in the meantime: %w", err)
	}
	maps.DeleteFunc(r.pairs, func(_ pids, p pair) bool { return p.round != r.round })
	return nil
}

// process returns the process with a pid. It caches the result: most pairs share
// their pids with others, and looking up a pid that is gone reads /proc.
func (r *reader) process(pid uint32) observe.ID {
	id, ok := r.now[pid]
	if !ok {
		if id, ok = r.host.Identity.Current(int(pid)); !ok {
			id = observe.None
		}
		r.now[pid] = id
	}
	return id
}

// same reports whether the pids belong to the same processes as at the last
// reading. It returns true for a new pair.
func (r *reader) same(k pids, victim, culprit observe.ID) bool {
	was, known := r.pairs[k]
	if known && (was.victim != victim || was.culprit != culprit) {
		return false
	}
	r.pairs[k] = pair{victim, culprit, r.round}
	return true
}
