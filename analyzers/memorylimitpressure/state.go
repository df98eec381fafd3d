// SPDX-License-Identifier: Apache-2.0

package memorylimitpressure

import (
	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// A state is what a cgroup's own limit did to it.
type state struct {
	cgroup observe.ID
	high   bool    // memory.high was hit, and not the limit
	bound  float64 // bytes
	hits   float64
	// need is what cannot be taken back: anonymous memory at its highest, the
	// kernel's, shared memory and sockets.
	need float64
	// some and full are shares of the window, if pressed: observed.
	some, full float64
	pressed    bool
	// refaults are pages per second, if refaulted: observed.
	refaults    float64
	refaulted   bool
	refaultTime float64 // share of the time
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
	return s, true
}

// perPage is what reading a page again costs, as the disks did: what they took
// for a read, shared by the pages that it brought. Where they brought fewer
// than were read again, most came from elsewhere (a network's file system).
func perPage(p *facts.Pass, disks facts.DiskReads, refaults float64) float64 {
	const most = 0.5
	if disks.Latency <= 0 || disks.Bytes < most*refaults*facts.PageBytes {
		return p.Param(readLatency)
	}
	return disks.PerPage()
}

// severity needs a limit that was hit, tasks that waited, and a reason other
// than page cache that filled what was free: that memory is short, or that
// what was evicted was wanted back.
func (s *state) severity(p *facts.Pass) analysis.Severity {
	again := s.refaulted && s.refaultTime >= p.Param(warnRefault)
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

// short says that what cannot be taken back is nearly all of the limit.
func (s *state) short(p *facts.Pass) bool { return s.need >= p.Param(fullNeed)*s.bound }

const (
	// margin is what a limit is above the need that was seen (KRR's and VPA's);
	// leastStep is the least by which raising it is worth a change.
	margin, leastStep = 1.15, 1.2
	// mostCache is the assumed maximum of a working set of files, as a multiple of the
	// limit: files that were read again cannot be distinguished from others.
	mostCache = 2
)

// wanted is the limit to try. What files want is what is there, and what was
// read again within a second.
func (s *state) wanted(cause string) float64 {
	want := s.need
	if cause == pageCache {
		want = min(s.bound+s.refaults*facts.PageBytes, mostCache*s.bound)
	}
	return facts.RoundLimit(max(margin*want, leastStep*s.bound))
}
