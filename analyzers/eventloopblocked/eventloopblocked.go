// SPDX-License-Identifier: Apache-2.0

// Package eventloopblocked finds event loops that keep their visitors waiting
// because single ticks take long, and says where that time goes.
package eventloopblocked

import (
	_ "embed"
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/capacity"
)

//go:embed doc.md
var doc string

// Analyzer is event-loop-blocked.
var Analyzer = &analysis.Analyzer{
	Name:     "event-loop-blocked",
	Title:    "Do long ticks block an event loop?",
	Doc:      doc,
	Category: analysis.CategoryEventLoop,
	Causes:   []string{onCPU, runQueue, cpuThrottled, blockingCall, pageFault, mixed},
	Verbs: []analysis.Verb{analysis.MoveToWorkerThreads, analysis.MakeAsync,
		analysis.RaiseCPULimit, analysis.AddProcesses, analysis.AddNodes, analysis.CapNeighbour, analysis.AddMemory},
	Needs: []*observe.Metric{catalog.LoopTicks},
	Wants: []*observe.Metric{catalog.LoopLag, catalog.LoopBusy, catalog.LoopWait, catalog.LoopThrottled, catalog.LoopRunQueue,
		catalog.LongTicks, catalog.LongBusy, catalog.LongCPU, catalog.LongRunQueue, catalog.LongThrottled, catalog.LongBlocked,
		catalog.LongPageFault, catalog.LongBlockedBy, catalog.CurrentTick, catalog.ProcessListens, catalog.ProcessAge,
		catalog.WaitedFor, catalog.CPUIdle, catalog.CgroupMemorySome},
	Params:     []*analysis.Param{warnLag, criticalLag, warnMean, criticalMean, fullLoop, dominant},
	SymptomOf:  []string{"cpu-throttled", "run-queue-latency", "host-saturated", "disk-saturated", "page-cache-thrash", memoryLimit},
	MinSeconds: 60,
	Fact:       longStall,
	Run:        run,
}

// The causes.
const (
	onCPU        = "on-cpu"
	runQueue     = "run-queue"
	cpuThrottled = "cpu-throttled"
	blockingCall = "blocking-call"
	pageFault    = "page-fault"
	mixed        = "mixed"
)

// The causes of host-saturated, which take different parts of a tick.
const (
	hostCPU    = "host-saturated/cpu"
	hostMemory = "host-saturated/memory"
)

var (
	warnLag = &analysis.Param{Name: "warn-lag", Unit: observe.Seconds, Default: 0.050, Enters: true,
		Doc: "p99 lag, as an arrival at a random moment meets it. From here on people notice: a page needs several requests, and each of them waits. DAGOR sheds load at a mean queue wait of 20 ms."}
	criticalLag = &analysis.Param{Name: "critical-lag", Unit: observe.Seconds, Default: 0.200,
		Doc: "p99 lag. From here on timeouts and retries of clients add to the load. Load shedders act at one second, which is too late for advice."}
	warnMean = &analysis.Param{Name: "warn-mean-lag", Unit: observe.Seconds, Default: 0.010, Enters: true,
		Doc: "Mean lag: half of DAGOR's overload bound. Above full-loop, event-loop-saturated reports it, unless the p99 lag is above its bound too."}
	criticalMean = &analysis.Param{Name: "critical-mean-lag", Unit: observe.Seconds, Default: 0.020,
		Doc: "Mean lag at which DAGOR declares overload. Critical only on a loop that is also nearly full, which does not recover by itself."}
	fullLoop = &analysis.Param{Name: "full-loop", Unit: observe.Ratio, Default: 0.9,
		Doc: "Share of the window in ticks from which the queue keeps growing: the wait factor of M/G/1 is 9 there."}
	dominant = &analysis.Param{Name: "dominant-share", Unit: observe.Ratio, Default: 0.5,
		Doc: "Share of the time in long ticks from which one cause is named alone: no other can be larger. Below it the cause is mixed, and the two largest are named."}
)

func run(p *analysis.Pass) []analysis.Finding {
	var fs []analysis.Finding
	for _, l := range p.Loops() {
		p.Checked()
		v := view{LoopView: l, lags: capacity.LagsOf(l.Lag.Count, l.Lag.Sum).With(l.Current), diskWait: p.DiskWait(l)}
		severity := v.audience(p, v.level(p, v.lags, l.Busy))
		if severity == analysis.Healthy {
			continue
		}
		fs = append(fs, v.finding(p, severity))
	}
	return fs
}

// A view is a loop with the lags of all of its ticks.
type view struct {
	*analysis.LoopView
	lags capacity.Lags
	// diskWait is the part of the long ticks that waited for a disk, in seconds.
	diskWait float64
}

func (v view) p99(lags capacity.Lags) float64 { return lags.Quantile(v.Seconds, 0.99) }

// level is how bad these lags are on a loop that is busy for a share of the
// window.
func (v view) level(p *analysis.Pass, lags capacity.Lags, busy float64) analysis.Severity {
	p99, mean := v.p99(lags), lags.Mean(v.Seconds)
	switch {
	case lags.LongShare(analysis.LongTick) < longShare:
		return analysis.Healthy
	case p99 > p.Param(criticalLag), p99 > p.Param(warnLag) && busy > p.Param(fullLoop) && mean > p.Param(criticalMean):
		return analysis.Critical
	case p99 > p.Param(warnLag), mean > p.Param(warnMean) && busy < saturated:
		return analysis.Warning
	}
	return analysis.Healthy
}

const (
	// longShare of the mean lag must come from long ticks, else many short
	// ones are the trouble: event-loop-saturated.
	longShare = 0.5
	// saturated is event-loop-saturated's bound on the share in ticks.
	saturated = 0.7
)

func (v view) finding(p *analysis.Pass, severity analysis.Severity) analysis.Finding {
	c := v.attribute(p)
	f := analysis.Finding{
		Cause:      c.cause,
		Severity:   severity,
		Confidence: v.confidence(p, c),
		Impact:     v.lags.Tail(v.Seconds, p.Param(warnLag)),
		Subject:    v.ID,
		Summary:    v.summary(p, c),
		Evidence:   v.evidence(p, c),
		Exemplars:  v.exemplars(p),
		Lost: map[string]float64{
			"cpu-throttled":     v.Long.Throttled,
			"run-queue-latency": v.Long.RunQueue,
			hostCPU:             v.Long.RunQueue,
			hostMemory:          v.Long.PageFault,
			"disk-saturated":    v.diskWait,
			"page-cache-thrash": v.diskWait,
			memoryLimit:         v.stalledForMemory(p),
		},
		LostTotal: v.Long.Total(),
		Without:   func(causes []string) bool { return v.stands(p, causes) },
	}
	v.advise(p, c, &f)
	if c.cause == onCPU && isV8(v.Runtime) {
		f.Gap = &gcGap
	}
	return f
}

// gcGap is reported while the collector's share of a tick is not observed.
var gcGap = observe.Gap{
	Source: "gc",
	Reason: "time in V8's garbage collector is not observed: the cause on-cpu can be garbage collection",
	Cure:   "run node with --trace-gc and compare its pauses with the long ticks; this version has no probe for garbage collection",
}

// stands reports whether the loop would be as late without what these causes
// took. A milder lateness that remains is in this finding's advice.
func (v view) stands(p *analysis.Pass, causes []string) bool {
	// Disks and memory take the same seconds, whichever of them explains more.
	lost, waited := 0.0, 0.0
	for _, cause := range causes {
		switch cause {
		case "cpu-throttled":
			lost += v.Long.Throttled
		case "run-queue-latency":
			lost += v.Long.RunQueue
		case "disk-saturated", "page-cache-thrash":
			waited = max(waited, v.diskWait)
		case hostMemory:
			waited = max(waited, v.Long.PageFault)
		case hostCPU:
			if !slices.Contains(causes, "run-queue-latency") {
				lost += v.Long.RunQueue
			}
		case memoryLimit:
			waited = max(waited, v.stalledForMemory(p))
		}
	}
	lost += waited
	if v.filledBy(p, lost) {
		return false
	}
	return v.level(p, v.without(lost), v.busyWithout(lost)) >= v.level(p, v.lags, v.Busy)
}

// memoryLimit is the analyzer that explains ticks which waited for memory.
const memoryLimit = "memory-limit-pressure"

// stalledForMemory is how much of the long ticks a memory limit can have
// taken, in seconds: they were blocked or in page faults for it, and no longer
// than tasks of a cgroup above waited for memory.
func (v view) stalledForMemory(p *analysis.Pass) float64 {
	waited := 0.0
	for cgroup := range p.Cgroups(v.ID) {
		if cgroup == observe.None || p.Index.Entity(cgroup).ID == "/" {
			continue // the host's, and no limit's
		}
		waited = max(waited, p.IncreaseOr0(catalog.CgroupMemorySome, cgroup))
	}
	return min(waited, v.Long.Blocked+v.Long.PageFault)
}

func (v view) busyWithout(lost float64) float64 { return max(0, v.Busy-lost/v.Seconds) }

// filledBy reports whether the loop was full only by what it lost. Each tick
// of a full loop serves all that arrived during the one before, so that its
// work is long because it was late: with time to spare, the loop would have
// served one request at a time, and how long that takes was not seen.
func (v view) filledBy(p *analysis.Pass, lost float64) bool {
	return v.Busy > p.Param(fullLoop) && v.busyWithout(lost) < saturated
}

// without is what is left of the lags when so many seconds of the long ticks
// had not been lost.
func (v view) without(lost float64) capacity.Lags {
	total := v.Long.Total()
	if total <= 0 {
		return v.lags
	}
	return v.lags.Scale(analysis.LongTick, max(0, 1-lost/total))
}

// A tick this long, in seconds, is a fact by itself: whoever waited has given
// up or asks again.
const factTick = 2

func longStall(f *analysis.Finding) bool {
	return slices.ContainsFunc(f.Exemplars, func(s observe.Stall) bool { return s.Duration >= factTick })
}
