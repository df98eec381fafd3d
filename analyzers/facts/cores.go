// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"fmt"
	"math"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

// IdleCores returns the average number of the host's CPUs that were idle. Waiting
// for a disk is idle: iowait is not CPU time.
func (p *Pass) IdleCores() (float64, bool) {
	idle, known := 0.0, false
	for cpu := range p.Entities(catalog.CPUIdle) {
		rate, _ := p.Rate(catalog.CPUIdle, cpu)
		wait, _ := p.Rate(catalog.CPUIOWait, cpu)
		idle += min(1, rate+wait)
		known = true
	}
	return idle, known
}

// Utilisation returns the share of the host's CPU time that was not idle.
func (p *Pass) Utilisation() (float64, bool) {
	idle, ok := p.IdleCores()
	n := p.CPUs()
	if !ok || n <= 0 {
		return 0, false
	}
	return min(1, max(0, 1-idle/n)), true
}

// UsableIdle returns how many idle cores id's process could use: those of the host,
// limited by its affinity and by its quotas.
func (p *Pass) UsableIdle(id observe.ID) (float64, bool) {
	idle, ok := p.IdleCores()
	if !ok {
		return 0, false
	}
	use := 0.0
	if process, is := p.Index.Ancestor(id, observe.Process); is {
		use, _ = p.Rate(catalog.ProcessCPU, process)
	}
	if pinned := p.pinnedTo(id); pinned < p.CPUs() {
		idle = min(idle, max(0, pinned-use))
	}
	return max(0, min(idle, p.QuotaHeadroom(id))), true
}

// pinnedTo returns the number of CPUs that affinity and cpusets leave to id.
func (p *Pass) pinnedTo(id observe.ID) float64 {
	n := math.Inf(1)
	if process, ok := p.Index.Ancestor(id, observe.Process); ok {
		if v, has := p.Last(catalog.ProcessAffinity, process); has && v > 0 {
			n = v
		}
	}
	for at := range p.Cgroups(id) {
		if v, has := p.Last(catalog.CgroupCPUSetCount, at); has && v > 0 {
			n = min(n, v)
		}
	}
	return n
}

// CPULimit returns the lowest CPU quota that applies to id, in cores, and the
// cgroup that sets it; ok is false if no ancestor has one.
func (p *Pass) CPULimit(id observe.ID) (cores float64, whose observe.ID, ok bool) {
	cores, whose = math.Inf(1), observe.None
	at, found := p.Index.Ancestor(id, observe.Cgroup)
	for found {
		if limit, has := p.Last(catalog.CgroupCPULimit, at); has && limit < cores {
			cores, whose = limit, at
		}
		up, more := p.Index.Parent(at)
		if !more || p.Index.Entity(up).Kind != observe.Cgroup {
			break
		}
		at = up
	}
	return cores, whose, whose != observe.None
}

// EffectiveCPUs returns how many CPUs id can use at once: the minimum of the
// host's, its affinity, the cpusets and the quotas above it.
func (p *Pass) EffectiveCPUs(id observe.ID) float64 {
	n := min(p.CPUs(), p.pinnedTo(id))
	if limit, _, ok := p.CPULimit(id); ok {
		n = min(n, limit)
	}
	return n
}

// QuotaHeadroom returns how many cores the quotas above id leave unused: infinite
// without a quota.
func (p *Pass) QuotaHeadroom(id observe.ID) float64 {
	left := math.Inf(1)
	for at := range p.Cgroups(id) {
		limit, has := p.Last(catalog.CgroupCPULimit, at)
		use, known := p.Rate(catalog.CgroupCPUTime, at)
		if has && known {
			left = min(left, max(0, limit-use))
		}
	}
	return left
}

// PlannedUtilisation is the share of a node's CPUs to plan for if service times are
// not known (docs/science.md, Hosts).
const PlannedUtilisation = 0.7

// hidesDemand is the utilisation from which a host, or a loop, hides how much more
// work waits.
const hidesDemand = 0.95

// MoreNodes returns how many more nodes like this one bring the cores in use down
// to PlannedUtilisation. It is called only for a full host, so it returns at least
// one.
//
// Waiting threads do not need a core each. A request that waits for a CPU uses as
// much CPU time as one that does not: eight threads that wait on a host with a
// tenth of its CPU time idle are a queue, and the demand is the CPU time in use, and
// that of requests for which there was no time. On a host without idle time, the
// demand of clients that wait for each answer is not known, so there is no upper bound.
func (p *Pass) MoreNodes() *analysis.Estimate {
	n := p.CPUs()
	u, ok := p.Utilisation()
	if !ok || n <= 0 {
		return nil
	}
	more := func(u float64) float64 { return max(1, math.Ceil(u/PlannedUtilisation)-1) }
	unserved := p.unserved() / n
	e := &analysis.Estimate{Value: more(u + unserved), Low: analysis.Bound(more(u)), Unit: "nodes"}
	if u < hidesDemand || unserved > 0 {
		e.High = analysis.Bound(e.Value)
	}
	return e
}

// SpreadOver returns the part of what this host does now that it has to do with more nodes:
// they also share the requests for which there was no time.
func (p *Pass) SpreadOver(more float64) float64 {
	waiting := 0.0
	if u, ok := p.Utilisation(); ok && u > 0 {
		waiting = p.unserved() / (u * p.CPUs())
	}
	return (1 + waiting) / (1 + more)
}

// unserved returns the CPU time, in cores, that requests needed which arrived and were
// not answered. It is 0 if clients wait for an answer before they send the next request.
func (p *Pass) unserved() float64 {
	sum := 0.0
	for process := range p.Entities(catalog.RequestArrivals) {
		h, known := p.Hist(catalog.RequestDuration, process)
		if !known {
			continue
		}
		arrived := p.IncreaseOr0(catalog.RequestArrivals, process)
		if answers, _ := h.Total(); answers >= enoughAnswers && arrived >= overdue*answers {
			use, _ := p.Rate(catalog.ProcessCPU, process)
			sum += use * (arrived/answers - 1)
		}
	}
	return sum
}

// Steal returns the share of the host's CPU time that its hypervisor gave to other
// guests.
func (p *Pass) Steal() float64 {
	if p.memo.stealRead {
		return p.memo.steal
	}
	stolen := 0.0
	for cpu := range p.Entities(catalog.CPUSteal) {
		rate, _ := p.Rate(catalog.CPUSteal, cpu)
		stolen += rate
	}
	p.memo.steal, p.memo.stealRead = stolen/max(1, p.CPUs()), true
	return p.memo.steal
}

// DedicatedCPUs is the recommendation for a host with more steal time than the
// bound: more nodes of the same kind lose as much, and so do instances with CPU
// credits.
func (p *Pass) DedicatedCPUs(bound float64) analysis.Recommendation {
	one, steal, host := 1.0, p.Steal(), "the host"
	if node, ok := p.Node(); ok {
		host = p.Name(node)
	}
	return analysis.Recommendation{
		Verb: analysis.AddNodes, Quantity: &analysis.Estimate{Value: one, Low: &one, Unit: "nodes"},
		Action: fmt.Sprintf("Replace %s with a node of a type that has dedicated CPUs: %s of its CPU time is stolen", host, analysis.Percent(steal)),
		Verify: fmt.Sprintf("system.cpu.time of mode steal falls below %s", analysis.Percent(bound)),
		Risk:   "instances with dedicated CPUs cost more",
		NotIf:  "you run the hypervisor: then lower its overcommitment",
		Expect: []analysis.Expectation{{Metric: catalog.CPUSteal, Label: "share of CPU time", From: steal, To: min(steal, bound), Unit: observe.Ratio}},
	}
}
