// SPDX-License-Identifier: Apache-2.0

package rightsize

import (
	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/capacity"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// A used holds what a workload used in the hours of the history.
type used struct {
	seconds                  float64 // observed
	highs                    []float64
	ofWeek                   []int
	peak, start              float64 // cores
	needs                    []float64
	need, working, kills     float64
	throttled, throttledMost float64 // number of hours, and the share in the worst
	hours                    float64
}

// usedBy is ok for a cgroup whose hours are kept.
func usedBy(p *facts.Pass, cgroup observe.ID) (u used, ok bool) {
	for h := range p.Hours(cgroup) {
		u.seconds += h.Seconds
		u.hours++
		// Use is cut off at the quota: what was throttled is missing from it.
		u.highs, u.ofWeek = append(u.highs, h.High+h.Throttled), append(u.ofWeek, h.OfWeek)
		u.peak, u.start = max(u.peak, h.Peak), max(u.start, h.Start)
		u.needs = append(u.needs, h.Need)
		u.need, u.working, u.kills = max(u.need, h.Need), max(u.working, h.Working), u.kills+h.Kills
		if h.Throttled >= p.Param(throttledHour) {
			u.throttled++
		}
		u.throttledMost = max(u.throttledMost, h.Throttled)
	}
	return u, u.hours > 0
}

// days returns the time observed in days.
func (u used) days() float64 { return u.seconds / (24 * 3600) }

// grows reports whether memory still grows: the last quarter of the hours is above all
// earlier ones. A size that follows growth is no size.
func (u used) grows() bool {
	const more = 1.1
	from := len(u.needs) * 3 / 4
	if from == 0 {
		return false
	}
	before, least := 0.0, u.need
	for i, need := range u.needs {
		if i < from {
			before = max(before, need)
		} else {
			least = min(least, need)
		}
	}
	return u.need > more*before && least >= before
}

// A resource has what is set now and the right size, in cores or bytes. A request or
// limit that is not set is 0.
type resource struct {
	request, limit           float64
	toRequest, toLimit       float64
	low, high                float64 // interval of toRequest, or of toLimit without a request
	tooHigh, tooLow          bool
	frees                    float64 // what it frees of what is reserved; negative if it needs more
	heap, defaultHeap, grows bool    // of memory: what the size rests on besides use
}

// reserved returns what is set aside: the request, otherwise the limit.
func (r resource) reserved() float64 {
	if r.request > 0 {
		return r.request
	}
	return r.limit
}

// to returns the right size of what is reserved.
func (r resource) to() float64 {
	if r.request > 0 {
		return r.toRequest
	}
	return r.toLimit
}

// changes reports whether the size is to be changed.
func (r resource) changes() bool { return r.tooHigh || r.tooLow }

// A size is the right size of a workload.
type size struct {
	used
	cgroup      observe.ID
	cpu, memory resource
}

func sizeOf(p *facts.Pass, cgroup observe.ID, u used) size {
	s := size{used: u, cgroup: cgroup}
	s.cpu.request, _ = p.Last(catalog.KubeCPURequest, cgroup)
	s.cpu.limit, _ = p.Last(catalog.CgroupCPULimit, cgroup)
	s.memory.request, _ = p.Last(catalog.KubeMemoryRequest, cgroup)
	s.memory.limit, _ = p.Last(catalog.CgroupMemoryLimit, cgroup)
	s.sizeCPU(p)
	s.sizeMemory(p)
	return s
}

const (
	// typicalHour is the lower bound of a request: VPA's.
	typicalHour = 0.5
	// leastRequest is the lowest CPU request: KRR's.
	leastRequest = 0.01
	// usualPeriod is the period of a quota if none is set.
	usualPeriod = 0.1
)

func (s *size) sizeCPU(p *facts.Pass) {
	c := &s.cpu
	busiest := capacity.BusiestOfWeek(s.highs, s.ofWeek)
	request := max(leastRequest, capacity.CPURequest(busiest))
	c.toRequest = capacity.CeilTo(request, leastRequest)
	top := capacity.Quantile(busiest, 1)
	c.toLimit = s.cpuLimit(p, top)
	c.low, c.high = capacity.CeilTo(max(leastRequest, capacity.Quantile(busiest, typicalHour)), leastRequest), capacity.CeilTo(capacity.Widened(max(request, top), s.days()), leastRequest)
	if c.request == 0 {
		c.low, c.high = min(c.toLimit, capacity.RoundCores(top)), max(c.toLimit, capacity.RoundCores(capacity.Widened(s.peak, s.days())))
	}
	if q, throttled := p.Quota(s.cgroup); throttled && q.Running() >= p.Param(throttledHour) {
		return // cpu-throttled recommends a limit from what happens now
	}
	c.judge(p, request, p.Param(leastCores))
	if c.limit > 0 && s.throttled > capacity.OftenAbove*s.hours && c.toLimit > c.limit {
		c.tooLow, c.tooHigh = true, false
	}
}

// cpuLimit returns the limit that would not have throttled the busiest reading, nor the
// requests of the busiest five minutes, which arrive at random. Throttling hides how much
// more was needed.
func (s *size) cpuLimit(p *facts.Pass, top float64) float64 {
	need := capacity.LimitMargin * s.peak
	if s.throttledMost >= p.Param(throttledHour) {
		need = max(need, capacity.LimitMargin*max(top, s.cpu.limit))
	}
	if each, known := p.RequestCost(s.cgroup); known {
		period, ok := p.Last(catalog.CgroupCPUPeriod, s.cgroup)
		if !ok || period <= 0 {
			period = usualPeriod
		}
		need = max(need, capacity.PeriodCores(top, capacity.PeriodDeviation(top, each, period)))
	}
	return max(capacity.RoundCores(need), s.cpu.toRequest)
}

func (s *size) sizeMemory(p *facts.Pass) {
	m := &s.memory
	if s.need <= 0 {
		return // the memory was not observed
	}
	least := s.need * capacity.MemoryMargin
	m.low = facts.RoundLimit(s.need)
	value := facts.RoundLimit(max(least, s.working*capacity.MemoryMargin))
	if s.kills > 0 {
		value = max(value, facts.LimitAfterKill(m.limit, s.need))
	}
	if floor, byDefault := s.heapFloor(p); floor > value {
		value, m.heap, m.defaultHeap = facts.RoundLimit(floor), true, byDefault
	}
	if m.limit > 0 && m.limit >= least && value > m.limit && s.kills == 0 {
		value = m.limit // page cache fills what there is
	}
	m.toRequest, m.toLimit = value, value
	m.high = max(value, facts.RoundLimit(capacity.Widened(least, s.days())))
	m.grows = s.grows()
	if m.grows || p.IncreaseOr0(catalog.CgroupOOMKills, s.cgroup) > 0 || p.IncreaseOr0(catalog.CgroupMaxEvents, s.cgroup) > 0 {
		return // memory-growth, oom-killed and memory-limit-pressure say what to do now
	}
	m.judge(p, s.need, p.Param(leastMemory))
	if m.limit > 0 && (s.kills > 0 || s.need > m.limit/nearLimit) && m.toLimit > m.limit {
		m.tooLow, m.tooHigh = true, false
	}
}

// nearLimit is the margin between the highest memory and the limit below which the limit
// is too low: a third of the margin that is advised.
const nearLimit = 1.05

// judge compares what is reserved with the right size, and the request with the use.
func (r *resource) judge(p *facts.Pass, use, least float64) {
	reserved, to := r.reserved(), r.to()
	if reserved <= 0 || to <= 0 {
		return
	}
	r.frees = reserved - to
	r.tooHigh = reserved >= p.Param(overShare)*to && r.frees >= least
	r.tooLow = r.request > 0 && use >= p.Param(underShare)*r.request
}

const (
	// besideHeap and heapShare are the memory outside of a heap, as in
	// heap-limit-mismatch.
	besideHeap = 64 << 20
	heapShare  = 0.9
)

// heapFloor returns the memory below which the heaps of the processes of a group do not
// fit: a collector lets a heap grow to its maximum although less is in use. byDefault is
// set if a maximum follows the memory limit, so that a lower limit makes it smaller: the
// floor is then what is set now.
func (s *size) heapFloor(p *facts.Pass) (floor float64, byDefault bool) {
	for process := range p.Entities(catalog.ProcessHeapLimitDefault) {
		if _, set := p.Last(catalog.ProcessHeapLimit, process); !set && p.Index.Within(process, s.cgroup) {
			return s.memory.reserved(), true
		}
	}
	for process := range p.Entities(catalog.ProcessHeapLimit) {
		ceiling, _ := p.Last(catalog.ProcessHeapLimit, process)
		switch {
		case !p.Index.Within(process, s.cgroup):
		case p.Attr(process, catalog.AttrRuntime) == "go": // its limit includes everything
			floor += ceiling
		default:
			floor += max(ceiling+besideHeap, ceiling/heapShare)
		}
	}
	return floor, false
}

// severity returns the severity of a size that is too low, from what it cost.
func (s *size) severity(p *facts.Pass) analysis.Severity {
	const harmful = 0.05 // as in cpu-throttled
	switch {
	case s.memory.tooLow && s.kills > 0, s.cpu.tooLow && s.throttledMost >= harmful:
		return analysis.Warning
	}
	return analysis.Info
}
