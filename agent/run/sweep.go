// SPDX-License-Identifier: Apache-2.0

package run

import (
	"strconv"
	"strings"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

const (
	// quarantine is how many seconds an entity must not have been seen before its ID is
	// recycled: longer than the slowest sampler takes to detect its end (a minute), and
	// longer than any window that is evaluated.
	quarantine = 90
	// orphansEvery is how often, in seconds, to look for ended entities whose end no
	// sampler reported: processes that lived between two readings.
	orphansEvery = 60
)

// A Sweeper recycles the IDs of ended entities, so that a program that runs continuously
// does not fill its Index.
type Sweeper struct {
	host    *sampler.Host
	now     float64
	orphans float64 // when they were last looked for
	gone    map[observe.ID]float64
	seen    []bool
}

// NewSweeper returns a Sweeper of the host's Index.
func NewSweeper(host *sampler.Host) *Sweeper {
	return &Sweeper{host: host, gone: make(map[observe.ID]float64)}
}

// Step records the entities that ended in a step.
func (s *Sweeper) Step(step *observe.Window) {
	s.now += step.Seconds
	for _, e := range step.Ended {
		s.gone[e.ID] = s.now
	}
}

// Sweep recycles the IDs of entities that ended long enough ago and are not in w, the
// oldest window still in use. It returns these IDs. It must not be called while a
// sampler is being read.
func (s *Sweeper) Sweep(w *observe.Window) []observe.ID {
	x := s.host.Index
	s.seen = append(s.seen[:0], make([]bool, x.Len())...)
	w.Mark(s.seen)
	if s.now-s.orphans >= orphansEvery {
		s.orphans = s.now
		s.findOrphans()
	}
	var free []observe.ID
	for id, at := range s.gone {
		switch {
		case s.seen[id]:
			s.gone[id] = s.now // a sampler still reports it
		case s.now-at >= max(quarantine, 2*w.Seconds):
			free = append(free, id)
			delete(s.gone, id)
		}
	}
	x.Free(free)
	return free
}

// findOrphans records processes that are dead, and entities that belonged to recycled
// ones.
func (s *Sweeper) findOrphans() {
	x := s.host.Index
	for id := range observe.ID(x.Len()) {
		if _, noted := s.gone[id]; noted || s.seen[id] {
			continue
		}
		switch e := x.Entity(id); e.Kind {
		case observe.Process:
			if s.dead(id, e) {
				s.gone[id] = s.now
			}
		case observe.Thread, observe.Loop, observe.Listener, observe.Cache, observe.Client, observe.OpenFiles, observe.Statement:
			if parent := x.Info(id).Parent; (parent.Kind == observe.Process || e.Kind == observe.Statement) && s.lost(parent) {
				s.gone[id] = s.now
			}
		}
	}
}

// lost reports whether an entity is no longer tracked, or soon will not be.
func (s *Sweeper) lost(e observe.Entity) bool {
	id, ok := s.host.Index.Find(e)
	_, noted := s.gone[id]
	return !ok || noted
}

func (s *Sweeper) dead(id observe.ID, e observe.Entity) bool {
	text, _, _ := strings.Cut(e.ID, ":")
	pid, err := strconv.Atoi(text)
	if err != nil {
		return false
	}
	now, alive := s.host.Identity.Current(pid)
	return !alive || now != id
}
