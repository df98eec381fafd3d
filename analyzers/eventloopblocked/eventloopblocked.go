// SPDX-License-Identifier: Apache-2.0

// Package eventloopblocked finds event loops that delay their clients because
// single ticks take long, and determines how that time is spent.
package eventloopblocked

import (
	_ "embed"
	"fmt"
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/capacity"
	"github.com/headroom-project/headroom/analyzers/facts"
)

//go:embed doc.md
var doc string

// Analyzer is event-loop-blocked.
var Analyzer = &analysis.Analyzer{
	Name:     "event-loop-blocked",
	Title:    "Do long ticks block an event loop?",
	Doc:      doc,
	Category: analysis.CategoryEventLoop,
	Causes:   []string{onCPU, gc, runQueue, cpuThrottled, blockingCall, pageFault, mixed},
	Verbs: []analysis.Verb{analysis.MoveToWorkerThreads, analysis.ReduceWork, analysis.ReduceAllocation, analysis.MakeAsync,
		analysis.RaiseCPULimit, analysis.AddProcesses, analysis.AddNodes, analysis.CapNeighbour, analysis.AddMemory},
	Needs: []*observe.Metric{catalog.LoopTicks, catalog.CurrentTick}, OneOf: true, // a loop that hangs may have ended no tick
	Wants: []*observe.Metric{catalog.LoopLag, catalog.LoopBusy, catalog.LoopWait, catalog.LoopThrottled, catalog.LoopWakeThrottled, catalog.LoopRunQueue,
		catalog.LongTicks, catalog.LongBusy, catalog.LongCPU, catalog.LongRunQueue, catalog.LongThrottled, catalog.LongBlocked,
		catalog.LongPageFault, catalog.LongBlockedBy, catalog.LongBlockedOn, catalog.ProcessListens,
		catalog.ProcessAccepted, catalog.ProcessDatagrams, catalog.ProcessBrokers, catalog.ProcessAge,
		catalog.WaitedFor, catalog.CPUIdle, catalog.CPUSteal, catalog.LoopCPU, catalog.ThreadCPU, catalog.ThreadSystem, catalog.ProcessCPU, catalog.CgroupMemorySome, catalog.HostMemorySome, catalog.ListenerQueue,
		catalog.LongSampled, catalog.LongIn, catalog.LongCollected, catalog.LongCollectedIn, catalog.LoopSampled, catalog.LoopIn},
	Params:     []*analysis.Param{warnLag, criticalLag, warnMean, criticalMean, fullLoop, dominant, mostlyGC},
	SymptomOf:  []string{"cpu-throttled", "run-queue-latency", "host-saturated", "disk-saturated", "page-cache-thrash", memoryLimit, "load-imbalance"},
	MinSeconds: 60,
	Fact:       longStall,
	Run:        facts.Run(run),
}

// The causes.
const (
	onCPU        = "on-cpu"
	gc           = "gc"
	runQueue     = "run-queue"
	cpuThrottled = "cpu-throttled"
	blockingCall = "blocking-call"
	pageFault    = "page-fault"
	mixed        = "mixed"
)

// Causes of host-saturated, which take different parts of a tick.
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
	mostlyGC = &analysis.Param{Name: "gc-share", Unit: observe.Ratio, Default: 0.3,
		Doc: "Share of the CPU time of long ticks in V8's garbage collector from which that is the cause: less garbage then shortens the ticks by about this much, and another thread would not."}
	dominant = &analysis.Param{Name: "dominant-share", Unit: observe.Ratio, Default: 0.5,
		Doc: "Share of the time in long ticks from which one cause is named alone: no other can be larger. Below it the cause is mixed, and the two largest are named."}
)

func run(p *facts.Pass) []analysis.Finding {
	var fs []analysis.Finding
	var unknown []string
	queued := queuedLoops(p)
	for _, l := range p.Loops() {
		p.Checked()
		if queued[l] {
			continue
		}
		v := view{LoopView: l, lags: capacity.LagsOf(l.Lag.Count, l.Lag.Sum).With(l.Current), diskWait: p.DiskWait(l)}
		severity := v.audience(p, v.level(p, v.lags, l.Busy))
		if severity > analysis.Healthy && l.Audience == facts.UnknownAudience {
			unknown = append(unknown, p.Name(l.Process))
		}
		if severity == analysis.Healthy {
			continue
		}
		fs = append(fs, v.finding(p, severity))
	}
	if len(unknown) > 0 {
		p.Skip(fmt.Sprintf("whether clients wait for %s is not known, because its open sockets could not be read; its severity is one step lower",
			analysis.List(unknown[:min(maxNames, len(unknown))])), catalog.ProcessListens)
	}
	return fs
}

// queuedLoops returns the loops whose long ticks are many short pieces of work that
// queued. If their service has no headroom, event-loop-saturated reports that.
func queuedLoops(p *facts.Pass) map[*facts.LoopView]bool {
	queued := make(map[*facts.LoopView]bool)
	for _, s := range p.LoopServices() {
		if l := s.Loops[0]; s.Busy >= saturated && l.Serves && l.Queued() {
			for _, l := range s.Loops {
				queued[l] = l.Queued()
			}
		}
	}
	return queued
}

// A view is a loop with the lags of all of its ticks.
type view struct {
	*facts.LoopView
	lags capacity.Lags
	// diskWait is the time of the long ticks that waited for a disk, in seconds.
	diskWait float64
}

func (v view) p99(lags capacity.Lags) float64 { return lags.Quantile(v.Seconds, 0.99) }

// level returns the severity of these lags on a loop that is busy for a share of
// the window.
func (v view) level(p *facts.Pass, lags capacity.Lags, busy float64) analysis.Severity {
	p99, mean := v.p99(lags), lags.Mean(v.Seconds)
	switch {
	case lags.LongShare(facts.LongTick) < longShare:
		return analysis.Healthy
	case p99 > p.Param(criticalLag), p99 > p.Param(warnLag) && busy > p.Param(fullLoop) && mean > p.Param(criticalMean):
		return analysis.Critical
	case p99 > p.Param(warnLag), mean > p.Param(warnMean) && busy < saturated:
		return analysis.Warning
	}
	return analysis.Healthy
}

const (
	// longShare is the part of the mean lag that must come from long ticks; otherwise
	// many short ones are the cause, which event-loop-saturated reports.
	longShare = 0.5
	// saturated is event-loop-saturated's threshold of the share in ticks.
	saturated = 0.7
)

func (v view) finding(p *facts.Pass, severity analysis.Severity) analysis.Finding {
	c := v.attribute(p)
	f := analysis.Finding{
		Cause:      c.cause,
		Severity:   severity,
		Confidence: v.confidence(p, c),
		Impact:     v.lags.Tail(v.Seconds, p.Param(warnLag)),
		Subject:    v.ID,
		Summary:    v.summary(p, c),
		Evidence:   v.evidence(p, c),
		Culprits:   facts.Largest(p.Functions(v.LoopView)),
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
	if len(f.Recommendations) > 0 && f.Recommendations[0].Verb == analysis.AddProcesses {
		byImbalance(&f)
	}
	if c.cause == onCPU && v.collectorUnknown(p) {
		f.Gap = &gcGap
	}
	return f
}

// byImbalance makes a loop in which requests queue up a symptom of too much load for
// this worker: at one that has time they would not.
func byImbalance(f *analysis.Finding) {
	const imbalance = "load-imbalance"
	f.Lost[imbalance] = f.LostTotal
	stands := f.Without
	f.Without = func(causes []string) bool { return !slices.Contains(causes, imbalance) && stands(causes) }
}

// collectorUnknown reports whether the loop may have a garbage collector whose share of the
// long ticks was not observed.
func (v view) collectorUnknown(p *facts.Pass) bool {
	_, known := p.Collected(v.LoopView)
	return isV8(v.Runtime) && !known
}

// gcGap is reported if the garbage collector's share of the long ticks was not observed.
var gcGap = observe.Gap{
	Source: "gc",
	Reason: "time in V8's garbage collector is not observed: the cause on-cpu can be garbage collection",
	Cure:   "run node with --trace-gc and compare its pauses with the long ticks",
}

// A tick this long, in seconds, is reported on its own: waiting clients have given
// up or retry.
const factTick = 2

func longStall(f *analysis.Finding) bool {
	return slices.ContainsFunc(f.Exemplars, func(s observe.Stall) bool { return s.Duration >= factTick })
}
