// SPDX-License-Identifier: Apache-2.0

// Package cgroup samples the CPU time, memory, number of processes, limits, throttling and
// pressure of every cgroup that holds processes or has a limit, on cgroup v1, hybrid and v2.
// Limits are those set on the cgroup itself, not on its ancestors. It never writes
// to a cgroup.
//
// The files are read by hand: the readers of containerd/cgroups cost several times
// as much (docs/decisions/2026-11-28-cgroup-files-are-read-by-hand.md).
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
	Doc:  "Reads CPU time, memory, processes, limits, throttling and pressure of each cgroup (/sys/fs/cgroup, v1, hybrid and v2).",
	Provides: []*observe.Metric{catalog.CgroupCPUTime, catalog.CgroupCPULimit, catalog.CgroupCPUPeriod, catalog.CgroupCPUWeight,
		catalog.CgroupPeriods, catalog.CgroupThrottled, catalog.CgroupThrottledS, catalog.CgroupCPUSetCount,
		catalog.CgroupCPUSome, catalog.CgroupMemorySome, catalog.CgroupMemoryFull, catalog.CgroupIOSome, catalog.CgroupIOFull,
		catalog.CgroupMemoryUsage, catalog.CgroupMemoryPeak, catalog.CgroupMemoryLimit, catalog.CgroupMemoryHigh,
		catalog.CgroupMemoryAnon, catalog.CgroupMemoryFile, catalog.CgroupMemoryInactiveFile, catalog.CgroupMemoryShmem,
		catalog.CgroupMemoryKernel, catalog.CgroupMemorySwap,
		catalog.CgroupHighEvents, catalog.CgroupMaxEvents, catalog.CgroupOOMEvents, catalog.CgroupOOMKills,
		catalog.CgroupMajorFaults, catalog.CgroupRefaults, catalog.CgroupThrash, catalog.CgroupReclaimed,
		catalog.CgroupPids, catalog.CgroupPidsLimit, catalog.CgroupPidsRefused},
	Open: open,
}

const (
	// maxGroups is the maximum number of cgroups: a full node has about 250 pods with
	// four containers each, and as many cgroups again around them.
	maxGroups = 5_000
	// maxVisits is the maximum number of directories read by one walk: on cgroup v1 a
	// group can have one in each of three trees.
	maxVisits = 3 * maxGroups
	// walkEvery is the maximum time until a new cgroup or limit is found, walkSparing
	// the same for an agent: opening the files of groups with limits is a fifth of the
	// cost of an agent, and the processes of a new cgroup are seen within a second
	// anyway.
	walkEvery, walkSparing = 5 * time.Second, 10 * time.Second
	// walkShare limits the walks to 1/400 of a core, whatever the size of the tree.
	walkShare = 400
	// restEvery is the number of readings over which groups without an open descriptor
	// are spread.
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
	rootCPUs  int           // CPUs of the root's cpuset in the last walk, 0 if not known
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
		g.pids.write(s, g.id)
		if g.pids.bound && (g.reads == 0 || g.pids.near || (r.ticks+i)%restEvery == 0) {
			r.readPids(s, g)
		}
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

// due reports whether to read a group's numbers in this reading: those of a new
// group, those of a group under a limit, because throttling and kills are evaluated
// by the second, and, except in an agent, those that need no open.
func (r *reader) due(g *group, i int) bool {
	return g.reads == 0 || g.limits.quota || g.memory.bound || g.kept() && !r.sparing || (r.ticks+i)%restEvery == 0
}

// either returns usual for a diagnosis, sparing for an agent.
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
