// SPDX-License-Identifier: Apache-2.0

// Package singlethreadbound finds servers that are limited by one thread at 100 %
// of a core while other cores are idle.
package singlethreadbound

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

// Analyzer is single-thread-bound.
var Analyzer = &analysis.Analyzer{
	Name:     "single-thread-bound",
	Title:    "Does one thread limit a server while cores are idle?",
	Doc:      doc,
	Category: analysis.CategoryCPU,
	Causes:   []string{oneHotThread},
	Verbs:    []analysis.Verb{analysis.UseMoreCores, analysis.ReduceWork},
	Needs:    []*observe.Metric{catalog.ThreadCPU},
	Wants: []*observe.Metric{catalog.ProcessBacklog, catalog.ProcessListens, catalog.ProcessThreads, catalog.ProcessCPU,
		catalog.ProcessAffinity, catalog.CPUIdle, catalog.CgroupCPULimit, catalog.LoopTicks, catalog.ThreadSampled, catalog.ThreadIn, catalog.LoopSampled, catalog.LoopIn},
	Params:     []*analysis.Param{hot, hotSteps, idleCores, queuedSteps},
	MinSeconds: 60,
	Run:        facts.Run(run),
}

const oneHotThread = "one-hot-thread"

var (
	hot = &analysis.Param{Name: "hot-thread", Unit: observe.Cores, Default: 0.9,
		Doc: "CPU use of one thread, in cores, from which it has no time left: the rest is interrupts."}
	hotSteps = &analysis.Param{Name: "hot-steps", Unit: observe.Ratio, Default: 0.8,
		Doc: "Share of the seconds in which the thread must be hot: a burst of a few seconds is work that completes."}
	idleCores = &analysis.Param{Name: "idle-cores", Unit: observe.Cores, Default: 0.5,
		Doc: "Idle cores that the process may use: room for half of the hot thread's work. With less, a second thread only competes with the first."}
	queuedSteps = &analysis.Param{Name: "queued-steps", Unit: observe.Ratio, Default: 0.5,
		Doc: "Share of the readings in which more than one connection must have waited for the process: one connection is being served, and a queue that is empty half of the time is being served too."}
)

func run(p *facts.Pass) []analysis.Finding {
	var fs []analysis.Finding
	loops := loopThreads(p)
	for thread := range p.Entities(catalog.ThreadCPU) {
		p.Checked()
		if !isHot(p, thread) {
			continue
		}
		process, ok := p.Index.Ancestor(thread, observe.Process)
		if !ok || loops.excludes(p, process, thread) {
			continue
		}
		idle, known := p.UsableIdle(process)
		queue := queueOf(p, process)
		if !known || idle < p.Param(idleCores) || queue.severity == analysis.Healthy {
			continue
		}
		fs = append(fs, finding(p, process, thread, idle, queue))
	}
	return fs
}

// isHot reports whether the thread used a full core in nearly every second of the
// window.
func isHot(p *facts.Pass, thread observe.ID) bool {
	steps := p.Series(catalog.ThreadCPU, thread)
	full, bound := 0.0, p.Param(hot)*(1-stolenOfBusy(p))
	for _, use := range steps {
		if use >= bound {
			full++
		}
	}
	// In seconds without a reading, the thread was not busy enough to be read.
	return len(steps) > 0 && full >= p.Param(hotSteps)*float64(max(len(steps), min(p.Steps, maxSteps)))
}

// stolenOfBusy is the share of the time in which a CPU had work that the hypervisor
// took from it. The kernel leaves it out of a thread's CPU time, so that a thread
// that never rests uses less than a core.
func stolenOfBusy(p *facts.Pass) float64 {
	busy, ok := p.Utilisation()
	if !ok || busy <= 0 {
		return 0
	}
	return min(1, p.Steal()/busy)
}

// maxSteps is the number of steps that a window keeps of a series.
const maxSteps = 600

func finding(p *facts.Pass, process, thread observe.ID, idle float64, q queue) analysis.Finding {
	use, _ := p.Rate(catalog.ThreadCPU, thread)
	return analysis.Finding{
		Cause:           oneHotThread,
		Severity:        q.severity,
		Confidence:      q.confidence,
		Impact:          q.impact(idle, p.CPUs()),
		Subject:         thread,
		Summary:         summary(p, process, thread, use, idle, q),
		Evidence:        evidence(p, use, idle, q),
		Culprits:        facts.Largest(p.ThreadFunctions(thread)),
		Recommendations: append([]analysis.Recommendation{advice(p, process, thread, use, idle)}, cheaper(p, process, thread)...),
	}
}

func summary(p *facts.Pass, process, thread observe.ID, use, idle float64, q queue) string {
	effect := fmt.Sprintf("%s is at its limit", p.Name(process))
	if q.known {
		effect = fmt.Sprintf("%s wait for %s", analysis.Number(math.Ceil(q.waiting), "connection", "connections"), p.Name(process))
	}
	which := "its thread"
	if name := p.Attr(thread, catalog.AttrThreadName); name != "" {
		which += " " + name
	}
	if tid := p.Attr(thread, catalog.AttrTID); tid != "" {
		which += " (tid " + tid + ")"
	}
	text := fmt.Sprintf("%s: %s fills %s of a core while %s it could use are idle", effect, which, analysis.Percent(min(1, use)), analysis.Cores(idle))
	if c, ok := facts.Named(p.ThreadFunctions(thread)); ok {
		text += "; " + facts.SamplesOf(c, "its time on the CPU")
	}
	return text
}

func evidence(p *facts.Pass, use, idle float64, q queue) []analysis.Evidence {
	e := []analysis.Evidence{
		{Metric: catalog.ThreadCPU, Label: "rate", Value: use, Unit: observe.Cores, Bound: analysis.Bound(p.Param(hot))},
		{Metric: catalog.CPUIdle, Label: "usable", Value: idle, Unit: observe.Cores, Bound: analysis.Bound(p.Param(idleCores))},
	}
	if q.known {
		e = append(e, analysis.Evidence{Metric: catalog.ProcessBacklog, Label: "mean", Value: q.waiting, Unit: observe.Connections})
	}
	return e
}

// plannedShare is the planned utilisation of each thread: the wait factor of M/G/1
// is 2.3 at 0.7.
const plannedShare = 0.7

func advice(p *facts.Pass, process, thread observe.ID, use, idle float64) analysis.Recommendation {
	n := float64(capacity.Spread(use, plannedShare))
	most := max(2, 1+math.Floor(idle))
	n = min(n, most)
	cpus := p.EffectiveCPUs(process)
	return analysis.Recommendation{
		Verb: analysis.UseMoreCores,
		// A full thread hides how much more work waits: the number of cores is the only
		// upper bound.
		Quantity: &analysis.Estimate{Value: n, Low: analysis.Bound(n), High: analysis.Bound(most), Unit: "threads"},
		Action:   fmt.Sprintf("Split the work of this thread of %s over %s, or run a second process", p.Name(process), analysis.Number(n, "thread", "threads")),
		Verify:   fmt.Sprintf("headroom.thread.cpu.time of every thread of %s stays below %s of a core", p.Command(process), analysis.Percent(p.Param(hot))),
		Risk:     "data that only this thread used needs a lock, or one shard per thread",
		NotIf: fmt.Sprintf("the work cannot be split: twice the cores then make the process at most %s faster; or the thread spins without work",
			analysis.Percent(capacity.SpeedUp(serialShare(p, process, use), cpus, 2*cpus)-1)),
		Expect: []analysis.Expectation{{Metric: catalog.ThreadCPU, Label: "rate", From: use, To: use / n, Unit: observe.Cores}},
	}
}

// cheaper is the recommendation to make the function cheaper that has most of the thread's
// time; nil if there is none.
func cheaper(p *facts.Pass, process, thread observe.ID) []analysis.Recommendation {
	c, ok := facts.Named(p.ThreadFunctions(thread))
	if !ok {
		return nil
	}
	return []analysis.Recommendation{{
		Verb: analysis.ReduceWork,
		Action: fmt.Sprintf("Make %s cheaper: with what it calls, it takes %s of the time of this thread of %s",
			facts.FunctionName(c.Frames[0]), analysis.Percent(c.Share), p.Name(process)),
		Verify: fmt.Sprintf("headroom.thread.cpu.time of every thread of %s stays below %s of a core", p.Command(process), analysis.Percent(p.Param(hot))),
		Risk:   "a cached result can be out of date",
		NotIf:  "the thread waits in this function, without work",
	}}
}

// serialShare is the part of the process's work that only the hot thread does.
func serialShare(p *facts.Pass, process observe.ID, use float64) float64 {
	all, ok := p.Rate(catalog.ProcessCPU, process)
	if !ok || all <= use {
		return 1
	}
	return use / all
}
