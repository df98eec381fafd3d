// SPDX-License-Identifier: Apache-2.0

// Package cputhrottled finds CPU quotas that delay a service, and computes a limit that
// would not.
package cputhrottled

import (
	_ "embed"
	"fmt"
	"math"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/capacity"
	"github.com/headroom-project/headroom/analyzers/facts"
)

//go:embed doc.md
var doc string

// Analyzer is cpu-throttled.
var Analyzer = &analysis.Analyzer{
	Name:     "cpu-throttled",
	Title:    "Does a CPU limit delay a service?",
	Doc:      doc,
	Category: analysis.CategoryContainers,
	Causes:   []string{limitTooLow, threadsExceedQuota},
	Verbs:    []analysis.Verb{analysis.RaiseCPULimit, analysis.ReduceThreads},
	Needs:    []*observe.Metric{catalog.CgroupCPULimit},
	Wants: []*observe.Metric{catalog.CgroupCPUPeriod, catalog.CgroupPeriods, catalog.CgroupThrottled, catalog.CgroupThrottledS,
		catalog.CgroupCPUTime, catalog.ThreadCPU, catalog.LoopTicks, catalog.LoopLag, catalog.LongThrottled, catalog.LoopWakeThrottled, catalog.ProcessListens, catalog.CPUIdle,
		catalog.ProcessCPU, catalog.RequestArrivals, catalog.RequestDuration},
	Params:     []*analysis.Param{warnShare, criticalShare, warnLag, criticalLag, warnTime, leastTime, burst},
	SymptomOf:  []string{"worker-count-mismatch"},
	MinSeconds: 60,
	Run:        facts.Run(run),
}

// Causes.
const (
	limitTooLow        = "limit-too-low"
	threadsExceedQuota = "threads-exceed-quota"
)

var (
	warnShare = &analysis.Param{Name: "warn-share-of-lag", Unit: observe.Ratio, Default: 0.2, Enters: true,
		Doc: "Share of the time in long ticks of its event loops that throttling took. Below a fifth, another cause comes first."}
	criticalShare = &analysis.Param{Name: "critical-share-of-lag", Unit: observe.Ratio, Default: 0.5,
		Doc: "From half on, throttling is the main cause of the lag of its loops."}
	warnLag = &analysis.Param{Name: "warn-lag", Unit: observe.Seconds, Default: 0.050, Enters: true,
		Doc: "p99 lag of its loops from which people notice, as in event-loop-blocked. Throttling that delays no request is a limit that does its work."}
	criticalLag = &analysis.Param{Name: "critical-lag", Unit: observe.Seconds, Default: 0.200,
		Doc: "p99 lag of its loops that is critical, as in event-loop-blocked."}
	warnTime = &analysis.Param{Name: "warn-time", Unit: observe.Ratio, Default: 0.05, Enters: true,
		Doc: "Share of the window, or of the time in which it had work, for which a group without event loops was throttled: a twentieth of its capacity. The share of throttled periods, on which kubernetes-mixin alerts, does not say for how long."}
	leastTime = &analysis.Param{Name: "least-time", Unit: observe.Ratio, Default: 0.01, Enters: true,
		Doc: "Share of the window below which throttling in bursts is not reported: a request in a hundred is delayed at most."}
	burst = &analysis.Param{Name: "burst-use", Unit: observe.Ratio, Default: 0.8,
		Doc: "Share of the limit that the group uses on average. Below it, bursts of more threads than the limit has cores exhaust the quota, and not the amount of work."}
)

func run(p *facts.Pass) []analysis.Finding {
	var harmed []observe.ID
	fs := make(map[observe.ID]analysis.Finding)
	loops := servingLoops(p)
	for cgroup := range p.Entities(catalog.CgroupCPULimit) {
		p.Checked()
		q, ok := p.Quota(cgroup)
		if !ok {
			continue
		}
		h := harmOf(p, q, loops[cgroup], func() bool { return serves(p, cgroup) })
		if h.severity == analysis.Healthy {
			continue
		}
		harmed = append(harmed, cgroup)
		fs[cgroup] = finding(p, cgroup, q, h)
	}
	return inner(p, harmed, fs)
}

// inner leaves out a group whose limit is only the sum of the limits inside it,
// such as a pod's, if one of those was found: people set the inner limit.
func inner(p *facts.Pass, harmed []observe.ID, fs map[observe.ID]analysis.Finding) []analysis.Finding {
	var all []analysis.Finding
	for _, cgroup := range harmed {
		var sum float64
		found := false
		for child := range p.Entities(catalog.CgroupCPULimit) {
			if parent, ok := p.Index.Parent(child); ok && parent == cgroup {
				limit, _ := p.Last(catalog.CgroupCPULimit, child)
				_, harms := fs[child]
				sum, found = sum+limit, found || harms
			}
		}
		if limit, _ := p.Last(catalog.CgroupCPULimit, cgroup); !found || math.Abs(sum-limit) > rounding*limit {
			all = append(all, fs[cgroup])
		}
	}
	return all
}

// rounding is the tolerance between a limit and the sum of its parts: quotas are
// whole microseconds of a period.
const rounding = 0.01

func finding(p *facts.Pass, cgroup observe.ID, q facts.Quota, h harm) analysis.Finding {
	cause := limitTooLow
	if burstsOfThreads(p, q) {
		cause = threadsExceedQuota
	}
	f := analysis.Finding{
		Cause:           cause,
		Severity:        h.severity,
		Confidence:      h.confidence,
		Impact:          h.lost,
		Subject:         cgroup,
		Summary:         summary(p, cgroup, q, h),
		Evidence:        evidence(p, q, h),
		Recommendations: advice(p, cgroup, q, h, cause),
	}
	if wholeCores(q.Limit) {
		f.Lost, f.LostTotal = map[string]float64{tooManyWorkers: h.stopped}, h.stopped
		f.Without = func([]string) bool { return false }
	}
	return f
}

// tooManyWorkers is the finding with the number of workers that fit a limit.
const tooManyWorkers = "worker-count-mismatch/too-many-workers"

// wholeCores reports whether as many workers as fit a limit cannot exceed it: one thread
// uses a core at most.
func wholeCores(limit float64) bool { return limit >= 1 && math.Ceil(limit)-limit <= rounding*limit }

// burstsOfThreads reports whether more threads than the limit has cores use up the
// quota at the same time, but would not one after another. One thread uses less
// than a core by itself.
func burstsOfThreads(p *facts.Pass, q facts.Quota) bool {
	return q.UseKnown && q.Limit >= 1 && capacity.Parallelism(q.Shares) > q.Limit && q.Use < p.Param(burst)*q.Limit
}

func summary(p *facts.Pass, cgroup observe.ID, q facts.Quota, h harm) string {
	name := p.Name(cgroup)
	share := analysis.Percent(h.stopped) + " of the window"
	if h.stopped < p.Param(warnTime) && h.loop == nil {
		share = analysis.Percent(h.running) + " of the time in which it had work"
	}
	text := fmt.Sprintf("CPU limit too low: %s was throttled for %s; its limit is %s and it needs %s",
		name, share, analysis.Cores(q.Limit), needs(p, cgroup, q))
	if h.loop != nil {
		text += fmt.Sprintf("; the event loop of %s gets to requests %s late (p99)", p.Name(h.loop.ID), analysis.Seconds(h.p99))
	}
	return text
}

// needs returns the number of cores that the group needs, as text and as far as known.
func needs(p *facts.Pass, cgroup observe.ID, q facts.Quota) string {
	limit := p.RaisedLimit(cgroup, q)
	if limit.Hidden {
		return "up to " + analysis.Cores(min(q.Threads, p.CPUs()))
	}
	return analysis.Cores(min(q.Demand, q.Threads, p.CPUs(), limit.Value))
}

func evidence(p *facts.Pass, q facts.Quota, h harm) []analysis.Evidence {
	e := []analysis.Evidence{
		{Metric: catalog.CgroupThrottledS, Label: "share of the window", Value: h.stopped, Unit: observe.Ratio, Bound: analysis.Bound(p.Param(warnTime))},
		{Metric: catalog.CgroupThrottled, Label: "share of periods", Value: q.Periods, Unit: observe.Ratio},
		{Metric: catalog.CgroupCPULimit, Value: q.Limit, Unit: observe.Cores},
	}
	if q.UseKnown {
		e = append(e,
			analysis.Evidence{Metric: catalog.CgroupCPUTime, Label: "rate", Value: q.Use, Unit: observe.Cores},
			analysis.Evidence{Metric: catalog.CgroupThrottledS, Label: "share of the time with work", Value: q.Running(), Unit: observe.Ratio, Bound: analysis.Bound(p.Param(warnTime))})
	}
	if h.loop == nil {
		return e
	}
	return append(e,
		analysis.Evidence{Metric: catalog.LongThrottled, Label: "share of long ticks", Value: h.share, Unit: observe.Ratio, Bound: analysis.Bound(p.Param(warnShare))},
		analysis.Evidence{Metric: catalog.LoopLag, Label: "p99", Value: h.p99, Unit: observe.Seconds, Bound: analysis.Bound(p.Param(warnLag))})
}

func advice(p *facts.Pass, cgroup observe.ID, q facts.Quota, h harm, cause string) []analysis.Recommendation {
	raise := raiseLimit(p, cgroup, q, h)
	if cause != threadsExceedQuota {
		return []analysis.Recommendation{raise}
	}
	return []analysis.Recommendation{reduceThreads(p, cgroup, q), raise}
}

func raiseLimit(p *facts.Pass, cgroup observe.ID, q facts.Quota, h harm) analysis.Recommendation {
	limit := p.RaisedLimit(cgroup, q)
	value, low, high := limit.Value, limit.Low, limit.High
	name := p.Name(cgroup)
	r := analysis.Recommendation{
		Verb:     analysis.RaiseCPULimit,
		Quantity: &analysis.Estimate{Value: value, Low: &low, High: &high, Unit: "cores"},
		Action:   p.RaiseCPULimit(cgroup, q.Limit, value),
		Verify:   fmt.Sprintf("headroom.cgroup.cpu.throttled.time of %s grows by less than %s a second", name, analysis.Seconds(unthrottled)),
		Risk:     "other processes on the host get less CPU",
		NotIf:    "the limit is meant to hold it back, or an outer cgroup has a lower limit",
		Expect:   []analysis.Expectation{{Metric: catalog.CgroupThrottledS, Label: "share of the window", From: h.stopped, To: min(h.stopped, unthrottled), Unit: observe.Ratio}},
	}
	if limit.Hidden {
		r.NotIf = fmt.Sprintf("it is throttled with the new limit too: its queue never emptied, which hides how much it needs; then raise the limit again, up to %s", analysis.Cores(high))
	}
	if idle, ok := p.IdleCores(); ok && q.UseKnown && idle < value-q.Use {
		r.NotIf = fmt.Sprintf("it needs more than the %s that are idle on the host: it then waits for a CPU instead", analysis.Cores(idle))
	}
	if h.loop != nil {
		r.Expect = append(r.Expect, analysis.Expectation{Metric: catalog.LoopLag, Label: "p99", From: h.p99, To: facts.LagAfter(h.p99, h.p99Without), Unit: observe.Seconds})
	}
	return r
}

// unthrottled is the share of its time, or of its periods, below which a group
// counts as not throttled: a sufficient limit can still throttle a start-up.
const unthrottled = 0.01

// threadSetting returns the setting of the runtime that uses most of the CPU time of a
// group.
func threadSetting(p *facts.Pass, cgroup observe.ID, n int) string {
	busiest, most := observe.None, 0.0
	for process := range p.Entities(catalog.ProcessCPU) {
		if used := p.IncreaseOr0(catalog.ProcessCPU, process); used > most && p.Index.Within(process, cgroup) {
			busiest, most = process, used
		}
	}
	if busiest != observe.None {
		if setting, known := facts.ThreadSetting(p.Attr(busiest, catalog.AttrRuntime), n); known {
			return setting
		}
	}
	return "the size of its thread pool, or its number of workers"
}

func reduceThreads(p *facts.Pass, cgroup observe.ID, q facts.Quota) analysis.Recommendation {
	n := float64(int(q.Limit))
	name := p.Name(cgroup)
	return analysis.Recommendation{
		Verb:     analysis.ReduceThreads,
		Quantity: &analysis.Estimate{Value: n, Low: analysis.Bound(max(1, n-1)), High: analysis.Bound(n), Unit: "threads"},
		Action:   fmt.Sprintf("Limit %s to %s running at once, from %.0f, because its CPU limit is %s: %s", name, analysis.Number(n, "thread", "threads"), q.Threads, analysis.Cores(q.Limit), threadSetting(p, cgroup, int(n))),
		Verify:   fmt.Sprintf("headroom.cgroup.cpu.throttled_periods of %s grows with less than %s of its periods", name, analysis.Percent(unthrottled)),
		Risk:     "a single burst of work takes longer",
		NotIf:    "the threads mostly wait instead of using the CPU",
		Expect:   []analysis.Expectation{{Metric: catalog.CgroupThrottled, Label: "share of periods", From: q.Periods, To: min(q.Periods, unthrottled), Unit: observe.Ratio}},
	}
}
