// SPDX-License-Identifier: Apache-2.0

// Package cgroup samples the CPU time, memory, limits, throttling and
// pressure of every cgroup that holds processes or has a limit, on cgroup v1,
// hybrid and v2 alike. Its numbers are about a cgroup's own limit; an ancestor's is the
// ancestor's. It never writes to a cgroup.
//
// The files are read by hand: the readers of containerd/cgroups cost several
// times as much (docs/decisions/2026-11-28-cgroup-files-are-read-by-hand.md).
package cgroup

import (
	"cmp"
	"fmt"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

// Sampler reads the cgroup tree.
var Sampler = &sampler.Sampler{
	Name: "cgroup",
	Doc:  "Reads CPU time, memory, limits, throttling and pressure of each cgroup (/sys/fs/cgroup, v1, hybrid and v2).",
	Provides: []*observe.Metric{catalog.CgroupCPUTime, catalog.CgroupCPULimit, catalog.CgroupCPUPeriod, catalog.CgroupCPUWeight,
		catalog.CgroupPeriods, catalog.CgroupThrottled, catalog.CgroupThrottledS, catalog.CgroupCPUSetCount,
		catalog.CgroupCPUSome, catalog.CgroupMemorySome, catalog.CgroupMemoryFull, catalog.CgroupIOSome, catalog.CgroupIOFull,
		catalog.CgroupMemoryUsage, catalog.CgroupMemoryPeak, catalog.CgroupMemoryLimit, catalog.CgroupMemoryHigh,
		catalog.CgroupMemoryAnon, catalog.CgroupMemoryFile, catalog.CgroupMemoryInactiveFile, catalog.CgroupMemoryShmem,
		catalog.CgroupMemoryKernel, catalog.CgroupMemorySwap,
		catalog.CgroupHighEvents, catalog.CgroupMaxEvents, catalog.CgroupOOMEvents, catalog.CgroupOOMKills,
		catalog.CgroupMajorFaults, catalog.CgroupRefaults, catalog.CgroupThrash, catalog.CgroupReclaimed},
	Open: open,
}

const (
	// maxGroups bounds the tree: a full node has some 250 pods with four
	// containers each, and as many cgroups again around them.
	maxGroups = 5_000
	// maxVisits bounds the directories that one walk reads: a group may have
	// one in each of three trees of cgroup v1.
	maxVisits = 3 * maxGroups
	// walkEvery is how long a new cgroup or limit may go unnoticed, walkSparing
	// in an agent: opening what has limits is a fifth of what such a run
	// costs, and the processes of a new cgroup are seen within a second anyway.
	walkEvery, walkSparing = 5 * time.Second, 10 * time.Second
	// walkShare bounds the walks to a part in 400 of a core, however large
	// the tree.
	walkShare = 400
	// restEvery is the number of readings over which those without a
	// descriptor of their own are spread.
	restEvery = 5
)

type reader struct {
	tree     hierarchies
	identity sampler.Identity
	files    *files
	now      func() time.Time
	turn     func(took time.Duration) bool
	sparing  bool

	groups   map[string]*group
	order    []*group // parents first
	ticks    int
	nextStat int // index in order of the last group whose memory.stat was read

	walk     int // number of walks so far
	walkTook time.Duration
	nextWalk time.Time
	soonest  time.Time // of the next walk if the crowd disperses
	// nextEarly is the earliest time of the next walk for a crowd that dispersed.
	nextEarly time.Time
	crowd     crowd         // found in the last walk
	gaps      []observe.Gap // found in the last walk
	rootCPUs  int           // CPUs of the root's cpuset in the last walk, 0 when not known
}

func open(h *sampler.Host) (sampler.Reader, error) {
	t, err := find(h)
	if err != nil {
		return nil, err
	}
	return &reader{tree: t, identity: h.Identity, files: newFiles(), now: time.Now, turn: h.Turn, sparing: h.Sparing, groups: make(map[string]*group)}, nil
}

// Read implements sampler.Reader.
func (r *reader) Read(s *observe.Snapshot) error {
	r.files.starved = nil
	if now := r.now(); r.walkDue(now) && r.turn(r.walkTook) {
		r.survey(s)
		r.schedule(now, r.now())
	}
	if len(r.groups) == 0 {
		return cmp.Or(r.files.starved, fmt.Errorf("no cgroup could be read below %s", r.tree.main()))
	}
	s.Gaps = append(s.Gaps, r.gaps...)
	r.ticks++
	for i, g := range r.order {
		if g.gone {
			continue
		}
		g.limits.write(s, g.id)
		g.memory.write(s, g.id)
		if r.due(g, i) {
			r.read(s, g)
		}
	}
	r.readStats(s)
	if err := r.files.starved; err != nil {
		sampler.Gap(s, Sampler.Name, err)
	}
	return nil
}

// due reports whether to read a group's numbers now: a new one's, those that a
// limit holds for, for throttling and kills are judged by the second, and
// those that cost no open, unless in an agent.
func (r *reader) due(g *group, i int) bool {
	return g.reads == 0 || g.limits.quota || g.memory.bound || g.kept() && !r.sparing || (r.ticks+i)%restEvery == 0
}

// either is the second for an agent.
func (r *reader) either(usual, sparing time.Duration) time.Duration {
	if r.sparing {
		return sparing
	}
	return usual
}

// Close implements sampler.Reader.
func (r *reader) Close() error {
	for _, g := range r.groups {
		g.close(r.files)
	}
	return nil
}
