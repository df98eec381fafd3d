// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// A Quota is what a cgroup's own CPU quota did to it.
type Quota struct {
	Limit  float64 // cores
	Period float64 // seconds
	Use    float64 // cores
	// Throttled is the time that its run queues were stopped, in seconds per
	// second, added up over CPUs.
	Throttled float64
	// Periods is the share of the periods with work in which it ran out.
	Periods float64
	// Demand is the cores it wanted in the periods in which it ran out: what
	// it got and what it was stopped for. Use alone is censored by the quota.
	// Average is the same over all periods with work.
	Demand, Average float64
	// Threads is how many of its threads did most of its work; Use of each is
	// in Shares, in cores.
	Threads float64
	Shares  []float64
}

// Quota returns what the quota of cgroup did; ok is false when it has none, or
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
	used := p.IncreaseOr0(catalog.CgroupCPUTime, cgroup)
	return Quota{
		Limit: limit, Period: period,
		Use:       used / p.Seconds,
		Throttled: stopped / p.Seconds,
		Periods:   min(1, out/periods),
		Demand:    limit + stopped/(out*period),
		Average:   (used + stopped) / (periods * period),
		Threads:   threads,
		Shares:    shares,
	}, true
}

// busyThread is the share of the busiest thread's CPU from which a thread
// counts as one that does the work: a collector's or a compiler's helper
// stays below it.
const busyThread = 0.1

// busyThreads counts the threads of a cgroup that do most of its work, and
// says what each thread used; as many as the host has CPUs when threads were
// not looked at.
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
