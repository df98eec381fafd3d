// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"math"
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/capacity"
)

// A Quota holds the effect of a cgroup's own CPU quota.
type Quota struct {
	Limit  float64 // cores
	Period float64 // seconds
	Use    float64 // cores; of the threads if the use of the group is not counted
	// UseKnown is set if Use is known: cpuacct may not be mounted together with cpu.
	UseKnown bool
	// Throttled is the time for which its run queues were throttled, in seconds per
	// second, summed over CPUs.
	Throttled float64
	// Periods is the share of the periods with work in which the quota ran out.
	Periods float64
	// Demand is the number of cores needed in the periods in which the quota ran out:
	// CPU time plus throttled time. Use alone is limited by the quota. Average is the
	// same over all periods with work.
	Demand, Average float64
	// Threads is the number of threads that did most of the work; Shares has the use
	// of each, in cores.
	Threads float64
	Shares  []float64
}

// Quota returns the effect of cgroup's quota; ok is false if it has none, or if it
// never ran out.
func (p *Pass) Quota(cgroup observe.ID) (q Quota, ok bool) {
	limit, limited := p.Last(catalog.CgroupCPULimit, cgroup)
	period, _ := p.Last(catalog.CgroupCPUPeriod, cgroup)
	periods := p.IncreaseOr0(catalog.CgroupPeriods, cgroup)
	out := p.IncreaseOr0(catalog.CgroupThrottled, cgroup)
	stopped := p.IncreaseOr0(catalog.CgroupThrottledS, cgroup)
	if !limited || period <= 0 || periods <= 0 || out <= 0 || stopped <= 0 || p.Seconds <= 0 {
		return Quota{}, false
	}
	threads, shares := p.busyThreads(cgroup)
	used, known := p.Increase(catalog.CgroupCPUTime, cgroup)
	if !known && len(shares) > 0 {
		for _, share := range shares {
			used += share * p.Seconds
		}
		known = true
	}
	return Quota{
		Limit: limit, Period: period,
		Use: used / p.Seconds, UseKnown: known,
		Throttled: stopped / p.Seconds,
		Periods:   min(1, out/periods),
		Demand:    limit + stopped/(out*period),
		Average:   (used + stopped) / (periods * period),
		Threads:   threads,
		Shares:    shares,
	}, true
}

// A RaisedLimit is the CPU limit to try for a group that its quota throttles, in cores.
type RaisedLimit struct {
	Value, Low, High float64
	// Hidden is set if the group always had work: a queue that never empties hides how
	// much CPU time the requests need, and Value is the middle of the possible range.
	Hidden bool
}

const (
	// fullLoop is the share of the window in ticks from which a queue rarely empties.
	fullLoop = 0.8
	// mostWork is the share of the work of a group that its loops must do, so that their
	// ticks show its demand. With a thread pool, the pool does most of the work.
	mostWork = 0.7
	// plannedLimit is the planned utilisation of a limit: the wait factor of M/G/1 is 4
	// there, and most periods are not throttled.
	plannedLimit = 0.8
)

// RaisedLimit returns the limit to try for a cgroup, with or without an event loop.
// Demand alone is what the threads could use, not what the requests need: a thread that
// is throttled in the middle of 30 ms of work wants a whole core until it is done. A
// loop with idle time has done all the work that arrived: its limit must be enough for
// that work, and for the work of one long tick within a period. For a group that never
// catches up, the requests that arrive and the CPU time of one that was answered show the
// demand.
func (p *Pass) RaisedLimit(cgroup observe.ID, q Quota) RaisedLimit {
	value, low, high := capacity.RaisedCPULimit(q.Limit, q.Demand, q.Average, q.Threads, p.CPUs())
	r := RaisedLimit{Value: value, Low: low, High: high}
	l, work := p.busiestLoop(cgroup)
	byLoops := l != nil && work >= mostWork*q.Use
	full := byLoops && l.Busy >= fullLoop
	w, counted := p.workOf(cgroup, q)
	switch {
	case !q.UseKnown || l == nil && !counted:
		return r
	case counted && w.late && full:
		r.Value, r.Low = min(value, w.oneByOne(q)), capacity.RoundCores(w.cores)
	case counted && !byLoops && (w.late || q.Periods < fullLoop):
		r.Value, r.Low = min(value, w.together(q)), capacity.RoundCores(w.cores)
	case full || counted && !byLoops:
		r.Hidden = true
		r.Value, r.Low = capacity.RoundCores(math.Sqrt(q.Limit*min(q.Threads, p.CPUs()))), q.Limit
	case !byLoops:
		return r
	default:
		tick := 0.0
		if l.LongTicks > 0 {
			tick = l.Long.CPU / l.LongTicks
		}
		r.Value = min(value, capacity.RoundCores(max(q.Use/plannedLimit, capacity.LimitMargin*tick/q.Period)))
		r.Low = min(r.Value, capacity.RoundCores(q.Use))
	}
	r.Value = max(r.Value, capacity.RoundCores(q.Limit*capacity.LimitMargin))
	r.Low, r.High = max(min(r.Low, r.Value), q.Limit), max(r.High, r.Value)
	return r
}

// busiestLoop returns the loop of a group that is busy for the largest share of the
// window, nil if the group has none, and the cores that all of its loops use.
func (p *Pass) busiestLoop(cgroup observe.ID) (busiest *LoopView, work float64) {
	for _, l := range p.Loops() {
		if !p.Index.Within(l.ID, cgroup) {
			continue
		}
		// The counter does not include the tick in progress.
		work += max(p.IncreaseOr0(catalog.LoopCPU, l.ID), l.Long.CPU) / p.Seconds
		if busiest == nil || l.Busy > busiest.Busy {
			busiest = l
		}
	}
	return busiest, work
}

// Window returns the share of the window for which the group was throttled. The kernel
// sums the time over CPUs.
func (q Quota) Window(cpus float64) float64 {
	return min(1, q.Throttled/max(1, min(q.Threads, cpus)))
}

// Running returns the share of the time with work for which the group was throttled:
// the share that a request meets. A group that has work for a tenth of the time can be
// throttled for half of that, and for a twentieth of the window. Both times are sums
// over CPUs.
func (q Quota) Running() float64 { return q.Throttled / (q.Throttled + q.Use) }

// busyThread is the share of the busiest thread's CPU time from which a thread
// counts as one that does the work: helper threads of a collector or a compiler
// stay below it.
const busyThread = 0.1

// busyThreads returns the number of threads of a cgroup that do most of its work,
// and the use of each; the number of the host's CPUs if threads were not observed.
func (p *Pass) busyThreads(cgroup observe.ID) (float64, []float64) {
	shares := p.threadShares()[cgroup]
	if len(shares) == 0 {
		return p.CPUs(), nil
	}
	top := slices.Max(shares)
	n := 0.0
	for _, share := range shares {
		if share >= busyThread*top {
			n++
		}
	}
	return n, shares
}

func (p *Pass) threadShares() map[observe.ID][]float64 {
	if p.memo.threads != nil {
		return p.memo.threads
	}
	p.memo.threads = make(map[observe.ID][]float64)
	for thread := range p.Entities(catalog.ThreadCPU) {
		rate, _ := p.Rate(catalog.ThreadCPU, thread)
		if rate <= 0 {
			continue
		}
		for cgroup := range p.Cgroups(thread) {
			p.memo.threads[cgroup] = append(p.memo.threads[cgroup], rate)
		}
	}
	return p.memo.threads
}

// MostOfCgroups returns the highest increase of a metric over the cgroups that contain a
// process, the root not counted.
func (p *Pass) MostOfCgroups(m *observe.Metric, process observe.ID) float64 {
	most := 0.0
	for cgroup := range p.Cgroups(process) {
		if p.Index.Entity(cgroup).ID != "/" {
			most = max(most, p.IncreaseOr0(m, cgroup))
		}
	}
	return most
}
