// SPDX-License-Identifier: Apache-2.0

// Package workercountmismatch finds services that run more worker processes than
// their CPUs can carry, or fewer than their load needs.
package workercountmismatch

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

// Analyzer is worker-count-mismatch.
var Analyzer = &analysis.Analyzer{
	Name:     "worker-count-mismatch",
	Title:    "Does the number of worker processes fit the CPUs that they may use?",
	Doc:      doc,
	Category: analysis.CategoryContainers,
	Causes:   []string{tooMany, tooFew},
	Verbs:    []analysis.Verb{analysis.SetWorkerCount},
	Needs:    []*observe.Metric{catalog.LoopBusy, catalog.ProcessCPU},
	Wants: []*observe.Metric{catalog.ProcessRunQueue, catalog.CgroupCPULimit, catalog.CgroupCPUSetCount, catalog.ProcessAffinity,
		catalog.CPUIdle, catalog.LoopLag, catalog.ProcessListens, catalog.ProcessAccepted, catalog.ListenerQueue},
	Params:     []*analysis.Param{perCPU, contended, busyPool, fullWorker, planned, lateMean, lateP99},
	MinSeconds: 60,
	Run:        facts.Run(run),
}

// Causes.
const (
	tooMany = "too-many-workers"
	tooFew  = "too-few-workers"
)

var (
	perCPU = &analysis.Param{Name: "workers-per-cpu", Unit: observe.Ratio, Default: 2,
		Doc: "Workers per usable CPU, plus one, up to which a pool counts as a choice: gunicorn advises 2n+1. In a container of 2 CPUs on a host of 48, programs that count the CPUs of the host start 48."}
	contended = &analysis.Param{Name: "contended-share", Unit: observe.Ratio, Default: 0.2,
		Doc: "Share of their waiting and running time that the workers wait for a CPU: from a fifth on, they delay each other."}
	busyPool = &analysis.Param{Name: "busy-pool", Unit: observe.Ratio, Default: 0.7,
		Doc: "Share of its CPUs that the pool uses: a pool of idle workers costs only memory."}
	fullWorker = &analysis.Param{Name: "full-worker", Unit: observe.Ratio, Default: 0.7,
		Doc: "Share of time in ticks of every worker from which the pool has no headroom, as in event-loop-saturated."}
	planned = &analysis.Param{Name: "planned-share", Unit: observe.Ratio, Default: 0.65,
		Doc: "Planned share of time in ticks, as in event-loop-saturated."}
	lateMean = &analysis.Param{Name: "late-mean-lag", Unit: observe.Seconds, Default: 0.010,
		Doc: "Mean lag from which a full pool is a warning and not an info, as in event-loop-saturated."}
	lateP99 = &analysis.Param{Name: "late-lag", Unit: observe.Seconds, Default: 0.050,
		Doc: "p99 lag from which a full pool is a warning and not an info."}
)

func run(p *facts.Pass) []analysis.Finding {
	var fs []analysis.Finding
	for _, workers := range p.Pools() {
		w := &pool{workers}
		p.Checked()
		if f, ok := w.judge(p); ok {
			fs = append(fs, f)
		}
	}
	return fs
}

func (w *pool) judge(p *facts.Pass) (analysis.Finding, bool) {
	n := float64(len(w.Workers))
	cpus := p.EffectiveCPUs(w.Workers[0].Process)
	if cpus <= 0 {
		return analysis.Finding{}, false
	}
	crowded := n > p.Param(perCPU)*math.Ceil(cpus)+1
	if crowded && w.waiting(p) >= p.Param(contended) && w.use(p) >= p.Param(busyPool)*cpus {
		return w.tooMany(p, cpus), true
	}
	if more := w.room(p); w.LeastBusy() >= p.Param(fullWorker) && more >= 1 && !p.ServesFull(w.Workers[0].Process) {
		return w.tooFew(p, more), true
	}
	return analysis.Finding{}, false
}

func (w *pool) tooMany(p *facts.Pass, cpus float64) analysis.Finding {
	n, want, wait := float64(len(w.Workers)), math.Max(1, math.Ceil(cpus)), w.waiting(p)
	subject := w.subject(p)
	const confidence = 0.85
	return analysis.Finding{
		Cause: tooMany, Severity: analysis.Warning, Confidence: confidence, Impact: wait, Subject: subject,
		Summary: fmt.Sprintf("%.0f workers of %s share %s and wait for a CPU for %s of their time",
			n, w.Name(p), analysis.Cores(cpus), analysis.Percent(wait)),
		Evidence: []analysis.Evidence{
			{Metric: catalog.LoopBusy, Label: "workers", Value: n, Unit: observe.Count, Bound: analysis.Bound(p.Param(perCPU)*math.Ceil(cpus) + 1)},
			{Metric: catalog.CgroupCPULimit, Label: "usable", Value: cpus, Unit: observe.Cores},
			{Metric: catalog.ProcessRunQueue, Label: "share of waiting and running", Value: wait, Unit: observe.Ratio, Bound: analysis.Bound(p.Param(contended))},
		},
		Recommendations: []analysis.Recommendation{{
			Verb:     analysis.SetWorkerCount,
			Quantity: &analysis.Estimate{Value: want, Low: analysis.Bound(math.Max(1, math.Floor(cpus))), High: analysis.Bound(want + 1), Unit: "workers"},
			Action:   fmt.Sprintf("Run %s of %s, from %.0f: it can use %s", analysis.Number(want, "worker", "workers"), w.Name(p), n, analysis.Cores(cpus)),
			Verify:   fmt.Sprintf("headroom.process.run_queue.time of %s falls below %s of its waiting and running", w.Name(p), analysis.Percent(p.Param(contended))),
			Risk:     "a worker that blocks delays a larger share of the requests",
			NotIf:    "the workers mostly wait in system calls instead of using the CPU",
			Expect:   []analysis.Expectation{{Metric: catalog.ProcessRunQueue, Label: "share of waiting and running", From: wait, To: p.Param(contended), Unit: observe.Ratio}},
		}},
	}
}

func (w *pool) tooFew(p *facts.Pass, room float64) analysis.Finding {
	n, busy := float64(len(w.Workers)), w.Busy()
	want := math.Min(n+room, float64(capacity.Spread(n*busy, p.Param(planned))))
	severity, confidence := analysis.Info, 0.7
	if w.late(p) {
		severity, confidence = analysis.Warning, 0.85
	}
	low := math.Max(n+1, math.Min(want, float64(capacity.Spread(n*busy, p.Param(fullWorker)))))
	quantity := &analysis.Estimate{Value: want, Low: &low, High: analysis.Bound(n + room), Unit: "workers"}
	return analysis.Finding{
		Cause: tooFew, Severity: severity, Confidence: confidence, Impact: w.impact(p, severity), Subject: w.subject(p),
		Summary: fmt.Sprintf("The %.0f workers of %s are %s busy while there is room for %.0f more",
			n, w.Name(p), analysis.Percent(busy), room),
		Evidence: []analysis.Evidence{
			{Metric: catalog.LoopBusy, Label: "share of the window", Value: busy, Unit: observe.Ratio, Bound: analysis.Bound(p.Param(fullWorker))},
			{Metric: catalog.LoopBusy, Label: "workers", Value: n, Unit: observe.Count},
		},
		Recommendations: []analysis.Recommendation{{
			Verb: analysis.SetWorkerCount, Quantity: quantity,
			Action: fmt.Sprintf("Run %.0f workers of %s, from %.0f", want, w.Name(p), n),
			Verify: fmt.Sprintf("headroom.loop.busy.time of each worker of %s falls below %s of the time", w.Name(p), analysis.Percent(p.Param(fullWorker))),
			Risk:   "each worker holds its own connections and memory",
			NotIf:  "a database behind them is already saturated",
			Expect: []analysis.Expectation{{Metric: catalog.LoopBusy, Label: "share of the window", From: busy, To: busy * n / want, Unit: observe.Ratio}},
		}},
	}
}
