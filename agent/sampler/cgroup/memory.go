// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"path/filepath"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

const (
	// statEvery is the minimum time between two reads of a group's memory.stat: the
	// kernel adds up the counters of all CPUs for each read. statSparing is the same
	// for a group without a limit, in an agent.
	statEvery, statSparing = 5 * time.Second, 10 * time.Second
	// statBudget limits reading memory.stat to one hundredth of a core per tick of a
	// second, whatever the size of the tree; the remaining groups are read in later
	// ticks.
	statBudget = 10 * time.Millisecond
)

// memory holds a group's own limits and its memory files. Files that are read every
// second stay open; the others are opened for each read.
type memory struct {
	limit, high field
	// bound is set if the group or an ancestor has a limit.
	bound bool

	usage  file // memory.current; v1: memory.usage_in_bytes
	events file // memory.events.local; v1: memory.oom_control
	hits   file // v1: memory.failcnt

	stat, peak, swap, kernel string // paths, "" for none
	nextStat                 time.Time
}

func (m *memory) write(s *observe.Snapshot, id observe.ID) {
	set(s, catalog.CgroupMemoryLimit, id, m.limit)
	set(s, catalog.CgroupMemoryHigh, id, m.high)
}

// limited reports whether a limit is set on the group itself.
func (m *memory) limited() bool { return m.limit.known || m.high.known }

func (m *memory) close(fs *files) {
	fs.close(&m.usage)
	fs.close(&m.events)
	fs.close(&m.hits)
}

// memory returns the tree that has the memory limits, "" if it is not mounted.
func (t hierarchies) memory() string {
	if t.memoryV1 != "" {
		return t.memoryV1
	}
	return t.unified
}

// locateMemory finds the memory files of a group. The root is left out: the host's
// memory is in /proc/meminfo, and the root's memory.stat costs most.
func (r *reader) locateMemory(g *group) {
	root := r.tree.memory()
	if root == "" || g.path == "/" || g.memory.usage.path != "" {
		return
	}
	first := func(names ...string) string {
		for _, name := range names {
			if p := filepath.Join(root, g.path, name); exists(p) {
				return p
			}
		}
		return ""
	}
	m := &g.memory
	if r.tree.memoryV1 != "" {
		m.usage.path, m.hits.path, m.events.path = first("memory.usage_in_bytes"), first("memory.failcnt"), first("memory.oom_control")
		m.peak, m.kernel = first("memory.max_usage_in_bytes"), first("memory.kmem.usage_in_bytes")
	} else {
		// memory.events.local exists since Linux 5.2; memory.events also counts
		// descendants.
		m.usage.path, m.events.path = first("memory.current"), first("memory.events.local", "memory.events")
		m.peak, m.swap = first("memory.peak"), first("memory.swap.current")
	}
	m.stat = first("memory.stat")
}

// memoryLimits reads the limits set on the cgroup itself.
func (r *reader) memoryLimits(path string) (limit, high field) {
	root := r.tree.memory()
	if root == "" || path == "/" {
		return field{}, field{}
	}
	if r.tree.memoryV1 != "" {
		return r.bytesLimit(root, path, "memory.limit_in_bytes"), field{}
	}
	return r.bytesLimit(root, path, "memory.max"), r.bytesLimit(root, path, "memory.high")
}

func (r *reader) bytesLimit(root, path, name string) field {
	b, err := r.files.once(filepath.Join(root, path, name))
	if err != nil {
		return field{}
	}
	return parseLimit(b)
}

// bind marks the groups that are under a limit. Parents come first in r.order.
func (r *reader) bind() {
	for _, g := range r.order {
		above := r.groups[filepath.Dir(g.path)]
		g.memory.bound = g.memory.limited() || above != nil && above != g && above.memory.bound
	}
}

// readMemory writes values that change every second.
func (r *reader) readMemory(s *observe.Snapshot, g *group) {
	m := &g.memory
	if n, ok := r.readNumber(s, g, &m.usage); ok {
		s.Set(catalog.CgroupMemoryUsage, g.id, n)
	}
	if n, ok := r.readNumber(s, g, &m.hits); ok {
		s.Set(catalog.CgroupMaxEvents, g.id, n)
	}
	if m.events.path == "" {
		return
	}
	b, err := r.files.read(&m.events)
	if err != nil {
		r.lost(s, g, &m.events, err)
		return
	}
	e := parseEvents(b)
	set(s, catalog.CgroupHighEvents, g.id, e.high)
	set(s, catalog.CgroupMaxEvents, g.id, e.max)
	set(s, catalog.CgroupOOMEvents, g.id, e.oom)
	set(s, catalog.CgroupOOMKills, g.id, e.kills)
}

func (r *reader) readNumber(s *observe.Snapshot, g *group, f *file) (float64, bool) {
	if f.path == "" {
		return 0, false
	}
	b, err := r.files.read(f)
	if err != nil {
		r.lost(s, g, f, err)
		return 0, false
	}
	n, ok := sampler.Number(b)
	return float64(n), ok
}

// readStats reads the statistics of as many groups as the budget allows, and
// continues with the next groups in the next tick.
func (r *reader) readStats(s *observe.Snapshot) {
	began := r.now()
	for range r.order {
		r.nextStat = (r.nextStat + 1) % len(r.order)
		g := r.order[r.nextStat]
		now := r.now()
		if now.Sub(began) > statBudget {
			return
		}
		if g.gone || g.memory.stat == "" || now.Before(g.memory.nextStat) {
			continue
		}
		next := statEvery
		if !g.memory.bound {
			next = r.either(statEvery, statSparing)
		}
		if g.memory.nextStat.IsZero() { // spread over time from now on
			next = time.Duration(1+r.nextStat%restEvery) * next / restEvery
		}
		g.memory.nextStat = now.Add(next)
		r.readMemoryStat(s, g)
	}
}

// readMemoryStat writes values that are read every five seconds.
func (r *reader) readMemoryStat(s *observe.Snapshot, g *group) {
	m := &g.memory
	b, err := r.files.once(m.stat)
	if err != nil {
		return // removed: the next reading of its usage reports that
	}
	st := parseMemoryStat(b, r.tree.memoryV1 != "")
	if m.kernel != "" {
		st.kernel = r.field(m.kernel)
	}
	if m.swap != "" {
		st.swap = r.field(m.swap)
	}
	st.write(s, g.id)
	if m.peak != "" {
		set(s, catalog.CgroupMemoryPeak, g.id, r.field(m.peak))
	}
}

func (st *memoryStat) write(s *observe.Snapshot, id observe.ID) {
	set(s, catalog.CgroupMemoryAnon, id, st.anon)
	set(s, catalog.CgroupMemoryFile, id, st.file)
	set(s, catalog.CgroupMemoryInactiveFile, id, st.inactiveFile)
	set(s, catalog.CgroupMemoryShmem, id, st.shmem)
	set(s, catalog.CgroupMemoryKernel, id, st.kernel)
	set(s, catalog.CgroupMemorySwap, id, st.swap)
	set(s, catalog.CgroupMajorFaults, id, st.majorFaults)
	set(s, catalog.CgroupRefaults, id, st.refaults)
	set(s, catalog.CgroupThrash, id, st.restored)
	set(s, catalog.CgroupReclaimed, id, st.reclaimed)
}

func (r *reader) field(path string) field {
	n, ok := r.number(path)
	return field{n, ok}
}

// noMemory adds a gap if no cgroup's memory is counted.
func (r *reader) noMemory() {
	for _, g := range r.order {
		if g.memory.usage.path != "" {
			return
		}
	}
	if len(r.order) < 2 { // the root has no memory files
		return
	}
	r.gaps = append(r.gaps, observe.Gap{
		Source: Sampler.Name, Reason: "memory of cgroups is not known: the kernel does not account it",
		Cure: "boot with cgroup_enable=memory, and on v2 enable the memory controller (systemd: MemoryAccounting=yes)",
	})
}
