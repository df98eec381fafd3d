// SPDX-License-Identifier: Apache-2.0

package pagecachethrash

import (
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// A scene is a host or a cgroup whose working set exceeds its memory.
type scene struct {
	id   observe.ID
	disk facts.DiskReads
	// refaults and thrash are pages per second that were read again; thrash counts
	// those that had been in the working set.
	refaults, thrash float64
	// shared is set if thrash is the group's share of the host's, on kernels that do
	// not count it by group.
	shared bool
	// waiting is the share of the window in which one of its tasks waited for disks or
	// memory; pressed is set if it is known.
	waiting float64
	pressed bool
	cache   float64 // bytes of files in memory; 0 if not known
	serves  bool
}

// cost is the share of the window spent on reading working-set pages again: the
// number of reads times the time of one, limited to the time that tasks waited.
func (s *scene) cost() float64 {
	cost := s.thrash * s.disk.PerPage()
	if s.pressed {
		cost = min(cost, s.waiting)
	}
	return cost
}

// isInside reports whether another group contains this one, and counts its pages too.
func (s *scene) isInside(p *facts.Pass, groups []*scene) bool {
	return slices.ContainsFunc(groups, func(o *scene) bool { return o.id != s.id && p.Index.Within(s.id, o.id) })
}

// leave subtracts what groups of the host explain.
func (s *scene) leave(thrash float64) { s.thrash = max(0, s.thrash-thrash) }

func host(p *facts.Pass, d facts.DiskReads) (*scene, bool) {
	node, ok := p.Node()
	if !ok {
		return nil, false
	}
	thrash, ok := p.Rate(catalog.HostThrash, node)
	if !ok {
		return nil, false
	}
	s := &scene{id: node, disk: d, thrash: thrash, serves: anybodyServes(p, node)}
	s.refaults, _ = p.Rate(catalog.HostRefaults, node)
	s.cache, _ = p.Last(catalog.HostMemoryCached, node)
	s.waits(p, catalog.HostIOSome, catalog.HostMemorySome)
	return s, true
}

// waits uses the larger value: waiting for a working-set page counts as memory, for
// any other page as disk, and for some as both (wait_on_page_locked in
// mm/filemap.c).
func (s *scene) waits(p *facts.Pass, ms ...*observe.Metric) {
	for _, m := range ms {
		if some, ok := p.Rate(m, s.id); ok {
			s.waiting, s.pressed = max(s.waiting, some), true
		}
	}
}

// groups returns the cgroups that hit a memory limit of their own: without one the
// host's memory is too small.
func groups(p *facts.Pass, d facts.DiskReads) []*scene {
	var scenes []*scene
	for id := range p.Entities(catalog.CgroupRefaults) {
		if _, limited := p.Last(catalog.CgroupMemoryLimit, id); !limited {
			if _, high := p.Last(catalog.CgroupMemoryHigh, id); !high {
				continue
			}
		}
		s := &scene{id: id, disk: d}
		s.refaults = rate(p, catalog.CgroupRefaults, id)
		if !s.counts(p) || s.thrash == 0 {
			continue
		}
		s.cache, _ = p.Last(catalog.CgroupMemoryFile, id)
		s.waits(p, catalog.CgroupIOSome, catalog.CgroupMemorySome)
		s.serves = p.Managed(id) || anybodyServes(p, id)
		scenes = append(scenes, s)
	}
	return scenes
}

// rate is per second in which the counter was read: groups are read in turn, so the
// first reading of a group can be seconds into the window.
func rate(p *facts.Pass, m *observe.Metric, id observe.ID) float64 {
	watched := p.Observed(m, id)
	if watched <= 0 {
		return 0
	}
	return p.IncreaseOr0(m, id) / watched
}

// counts uses the group's own count, or its share of the host's: memory.stat of v1
// only has refaults.
func (s *scene) counts(p *facts.Pass) bool {
	if _, ok := p.Increase(catalog.CgroupThrash, s.id); ok {
		s.thrash = rate(p, catalog.CgroupThrash, s.id)
		return true
	}
	node, ok := p.Node()
	if !ok {
		return false
	}
	all, _ := p.Rate(catalog.HostRefaults, node)
	thrash, known := p.Rate(catalog.HostThrash, node)
	const most = 0.5 // of the host's: below it the thrashing comes from other groups
	if !known || all <= 0 || s.refaults < most*all {
		return false
	}
	s.thrash, s.shared = thrash*min(1, s.refaults/all), true
	return true
}

// anybodyServes reports whether clients wait for a process within id that reads
// from disks: a listening socket, an event loop that serves, a service. It returns
// true if that is not known, or if no process of id is known.
func anybodyServes(p *facts.Pass, id observe.ID) bool {
	if !p.Has(catalog.ProcessDiskRead) {
		return true
	}
	serving := make(map[observe.ID]bool)
	for _, l := range p.Loops() {
		serving[l.Process] = serving[l.Process] || l.Listens
	}
	seen := false
	for process := range p.Entities(catalog.ProcessDiskRead) {
		if p.IncreaseOr0(catalog.ProcessDiskRead, process) <= 0 || !within(p, process, id) {
			continue
		}
		seen = true
		if n, _ := p.Last(catalog.ProcessListens, process); n > 0 || serving[process] || p.Managed(process) {
			return true
		}
	}
	return !seen
}

func within(p *facts.Pass, process, id observe.ID) bool {
	return p.Index.Entity(id).Kind == observe.Node || p.Index.Within(process, id)
}
