// SPDX-License-Identifier: Apache-2.0

package memorylimitpressure

import (
	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// A state holds the effect of a cgroup's own limit.
type state struct {
	cgroup observe.ID
	high   bool    // memory.high was hit, not the limit
	bound  float64 // bytes
	hits   float64
	// need is memory that cannot be reclaimed: the maximum of anonymous memory, kernel
	// memory, shared memory and sockets.
	need float64
	// some and full are shares of the window; pressed is set if they were observed.
	some, full float64
	pressed    bool
	// refaults are pages per second; refaulted is set if they were observed.
	refaults    float64
	refaulted   bool
	refaultTime float64 // share of the time
	// scanned: the page cache holds next to nothing that was used more than once.
	scanned bool
}

// look returns the state of a group with a limit of its own.
func look(p *facts.Pass, cgroup observe.ID, disks facts.DiskReads) (*state, bool) {
	s := &state{cgroup: cgroup}
	limit, limited := p.Last(catalog.CgroupMemoryLimit, cgroup)
	high, soft := p.Last(catalog.CgroupMemoryHigh, cgroup)
	if !limited && !soft {
		return nil, false
	}
	s.bound, s.hits = limit, p.IncreaseOr0(catalog.CgroupMaxEvents, cgroup)
	if slowed := p.IncreaseOr0(catalog.CgroupHighEvents, cgroup); soft && (slowed > 0 && s.hits == 0 || !limited) {
		s.high, s.bound, s.hits = true, high, slowed
	}
	s.need, _ = p.MemoryNeed(cgroup)
	s.some, s.pressed = p.Rate(catalog.CgroupMemorySome, cgroup)
	s.full, _ = p.Rate(catalog.CgroupMemoryFull, cgroup)
	if over := p.Observed(catalog.CgroupRefaults, cgroup); over > 0 {
		s.refaults, s.refaulted = p.IncreaseOr0(catalog.CgroupRefaults, cgroup)/over, true
		s.refaultTime = s.refaults * perPage(p, disks, s.refaults)
	}
	s.scanned = scanned(p, cgroup)
	return s, true
}

// scanned reports whether the page cache of a group is what was read or written
// once, such as a log that is larger than the limit and is read from end to end again
// and again: the kernel moves a page to the active list at its second use. Such reads
// are ahead of the program, which waits for none of the pages.
func scanned(p *facts.Pass, cgroup observe.ID) bool {
	const once = 0.95
	file, known := p.Last(catalog.CgroupMemoryFile, cgroup)
	shmem, _ := p.Last(catalog.CgroupMemoryShmem, cgroup)
	inactive, listed := p.Last(catalog.CgroupMemoryInactiveFile, cgroup)
	return known && listed && inactive >= once*(file-shmem)
}

// perPage returns the time to read a page again, from the disks: their read time
// divided by the pages that they read. If they read fewer pages than were
// refaulted, most came from elsewhere (a network file system).
func perPage(p *facts.Pass, disks facts.DiskReads, refaults float64) float64 {
	const most = 0.5
	if disks.Latency <= 0 || disks.Bytes < most*refaults*facts.PageBytes {
		return p.Param(readLatency)
	}
	return disks.PerPage()
}

// severity requires a limit that was hit, tasks that waited, and another reason
// than page cache that filled free memory: memory that cannot be reclaimed is
// short, or evicted pages were needed again.
func (s *state) severity(p *facts.Pass) analysis.Severity {
	again := s.refaulted && s.refaultTime >= p.Param(warnRefault) && (s.pressed || !s.scanned)
	switch {
	case s.hits <= 0, !s.short(p) && !again:
		return analysis.Healthy
	case !s.pressed && again:
		return analysis.Warning
	case s.pressed && s.full >= p.Param(criticalFull):
		return analysis.Critical
	case s.pressed && s.some >= p.Param(warnSome):
		return analysis.Warning
	}
	return analysis.Healthy
}

// short reports whether memory that cannot be reclaimed takes nearly all of the
// limit.
func (s *state) short(p *facts.Pass) bool { return s.need >= p.Param(fullNeed)*s.bound }

const (
	// margin is the factor between the observed need and a limit (KRR's and VPA's);
	// leastStep is the smallest factor by which raising a limit is worth a change.
	margin, leastStep = 1.15, 1.2
	// mostCache is the assumed maximum of a working set of files, as a multiple of the
	// limit: pages that were read again several times cannot be distinguished from
	// others.
	mostCache = 2
)

// wanted returns the limit to try. Files need the cache that exists, and the pages
// that were read again within a second.
func (s *state) wanted(cause string) float64 {
	want := s.need
	if cause == pageCache {
		want = min(s.bound+s.refaults*facts.PageBytes, mostCache*s.bound)
	}
	return facts.RoundLimit(max(margin*want, leastStep*s.bound))
}
