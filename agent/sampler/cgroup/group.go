// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/refusal"
	"github.com/headroom-project/headroom/agent/sampler"
)

// A group is one path, in every hierarchy in which it exists.
type group struct {
	path   string
	id     observe.ID
	limits limits
	walk   int  // the last walk that saw it
	gone   bool // removed since then
	reads  int

	stat     file // cpu.stat: throttling, and on v2 CPU time
	usage    file // v1: cpuacct.usage
	pressure [len(pressures)]file
	memory   memory
	pids     pids
}

// pressures lists the files and the metrics of their lines.
var pressures = [...]struct {
	name       string
	some, full *observe.Metric
}{
	{"cpu.pressure", catalog.CgroupCPUSome, nil},
	{"memory.pressure", catalog.CgroupMemorySome, catalog.CgroupMemoryFull},
	{"io.pressure", catalog.CgroupIOSome, catalog.CgroupIOFull},
}

// kept reports whether the CPU time can be read without an open.
func (g *group) kept() bool {
	return g.usage.fd > 0 || g.usage.path == "" && g.stat.fd > 0
}

func (g *group) close(fs *files) {
	fs.close(&g.stat)
	fs.close(&g.usage)
	for i := range g.pressure {
		fs.close(&g.pressure[i])
	}
	g.memory.close(fs)
	g.pids.close(fs)
}

// read writes values that change every second.
func (r *reader) read(s *observe.Snapshot, g *group) {
	g.reads++
	if r.tree.v1() {
		r.readUsage(s, g)
	}
	// Only a quota throttles; on v2 the file also has the CPU time.
	if g.stat.path != "" && (!r.tree.v1() || g.limits.quota) {
		r.readStat(s, g)
	}
	for i := range pressures {
		if g.pressure[i].path != "" {
			r.readPressure(s, g, i)
		}
	}
	r.readMemory(s, g)
}

func (r *reader) readUsage(s *observe.Snapshot, g *group) {
	if g.usage.path == "" {
		return
	}
	b, err := r.files.read(&g.usage)
	if err != nil {
		r.lost(s, g, &g.usage, err)
		return
	}
	if ns, ok := sampler.Number(b); ok {
		s.Set(catalog.CgroupCPUTime, g.id, float64(ns)/1e9)
	}
}

func (r *reader) readStat(s *observe.Snapshot, g *group) {
	b, err := r.files.read(&g.stat)
	if err != nil {
		r.lost(s, g, &g.stat, err)
		return
	}
	st := parseStat(b)
	if g.usage.path == "" {
		set(s, catalog.CgroupCPUTime, g.id, st.usage)
	}
	if !g.limits.quota && st.periods.value == 0 {
		return
	}
	set(s, catalog.CgroupPeriods, g.id, st.periods)
	set(s, catalog.CgroupThrottled, g.id, st.throttled)
	set(s, catalog.CgroupThrottledS, g.id, st.throttledTime)
}

func set(s *observe.Snapshot, m *observe.Metric, id observe.ID, f field) {
	if m != nil && f.known {
		s.Set(m, id, f.value)
	}
}

func (r *reader) readPressure(s *observe.Snapshot, g *group, i int) {
	b, err := r.files.read(&g.pressure[i])
	if err != nil {
		r.lost(s, g, &g.pressure[i], err)
		if refusal.Limit(err) == nil {
			g.pressure[i].path = "" // EOPNOTSUPP: switched off for this cgroup or the host
		}
		return
	}
	some, full := parsePressure(b)
	set(s, pressures[i].some, g.id, some)
	set(s, pressures[i].full, g.id, full)
}

// lost records that a group was removed while it was read, which is normal. If it
// was created again under the same path, the next reading uses its new files.
func (r *reader) lost(s *observe.Snapshot, g *group, f *file, err error) {
	r.files.close(f)
	if g.gone || !vanished(err) || r.tree.have(g.path) {
		return
	}
	g.gone = true
	s.End(g.id, "removed")
}
