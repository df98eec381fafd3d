// SPDX-License-Identifier: Apache-2.0

// Package runqueue samples who waited for a CPU, how long the long waits were,
// and who ran meanwhile. It is thin over bpf/tick, which measures.
package runqueue

import (
	"fmt"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/bpf/tick"
)

// Sampler reads run-queue delays of a millisecond and more, and their culprits.
var Sampler = &sampler.Sampler{
	Name:     "runqueue",
	Doc:      "Delays of a millisecond or more between ready to run and running, per process, and which processes ran meanwhile (eBPF).",
	Provides: []*observe.Metric{catalog.RunQueueDelay, catalog.WaitedFor},
	Open:     open,
}

type reader struct {
	probe *tick.Probe
	host  *sampler.Host
	lost  tick.Lost
}

func open(host *sampler.Host) (sampler.Reader, error) {
	probe, err := sampler.Probe[*tick.Probe](host, "tick")
	if err != nil {
		return nil, err
	}
	return &reader{probe: probe, host: host}, nil
}

// Read writes every process that was ever delayed. Time that a CPU limit took
// is no run queue: bpf/tick leaves it out.
func (r *reader) Read(s *observe.Snapshot) error {
	err := r.probe.ReadRunQueue(func(q *tick.RunQueue) {
		id, ok := r.host.Identity.Current(int(q.Tgid))
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
		s.Gap("runqueue", "more processes waited for a CPU than the probe has room for: some have no distribution or no culprit", "")
	}
	r.lost = lost
	return nil
}

func (r *reader) Close() error { return nil } // the probe belongs to host.Probes

func (r *reader) blame(s *observe.Snapshot) error {
	err := r.probe.ReadBlame(func(victim, culprit uint32, ns uint64) {
		v, ok := r.host.Identity.Current(int(victim))
		if !ok {
			return
		}
		if c, ok := r.culprit(culprit); ok {
			s.SetPair(catalog.WaitedFor, v, c, float64(ns)/1e9)
		}
	})
	if err != nil {
		return fmt.Errorf("reading who ran meanwhile: %w", err)
	}
	return nil
}

// culprit returns the process that ran; those that found no room in the probe
// are nobody's.
func (r *reader) culprit(tgid uint32) (observe.ID, bool) {
	if tgid == tick.CulpritOther || tgid == 0 {
		return observe.None, false
	}
	return r.host.Identity.Current(int(tgid))
}
