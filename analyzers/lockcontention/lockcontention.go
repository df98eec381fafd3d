// SPDX-License-Identifier: Apache-2.0

// Package lockcontention finds services whose threads wait for one lock while requests
// wait, and says what holds it.
package lockcontention

import (
	_ "embed"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

//go:embed doc.md
var doc string

// Analyzer is lock-contention.
var Analyzer = &analysis.Analyzer{
	Name:     "lock-contention",
	Title:    "Do threads wait for one lock?",
	Doc:      doc,
	Category: analysis.CategoryCPU,
	Causes:   []string{interpreterLock, oneLock},
	Verbs:    []analysis.Verb{analysis.AddProcesses, analysis.ReduceContention},
	Needs:    []*observe.Metric{catalog.LockReadings, catalog.RequestActive},
	Wants: []*observe.Metric{catalog.LockWaited, catalog.LockWaiters, catalog.LockHeldIn, catalog.RequestDuration, catalog.RequestOldest,
		catalog.ProcessCPU, catalog.ProcessRunQueue, catalog.CPUIdle, catalog.CgroupThrottledS},
	Params:     []*analysis.Param{leastWait, criticalWait},
	SymptomOf:  []string{throttled},
	MinSeconds: 30,
	Run:        facts.Run(run),
}

// The causes.
const (
	interpreterLock = "interpreter-lock"
	oneLock         = "one-lock"
)

const throttled = "cpu-throttled"

var (
	leastWait = &analysis.Param{Name: "least-wait", Unit: observe.Seconds, Default: 0.1, Enters: true,
		Doc: "Mean time that a request waits for the lock. A page needs several requests, and people notice 100 ms."}
	criticalWait = &analysis.Param{Name: "critical-wait", Unit: observe.Seconds, Default: 10,
		Doc: "The same, at which it is critical: the shortest common timeouts of clients and health checks are 5 to 10 s."}
)

func run(p *facts.Pass) []analysis.Finding {
	var fs []analysis.Finding
	for range p.Entities(catalog.LockReadings) {
		p.Checked()
	}
	for _, l := range p.Locks() {
		v := look(p, l)
		if l.Contended() && l.Wait(p.Seconds) >= p.Param(leastWait) && v.idle >= idleCore {
			fs = append(fs, v.finding(p))
		}
	}
	return fs
}

// idleCore is the number of cores that the process could use if its threads did not wait
// for each other: without one, host-saturated or a limit of the container is the cause.
const idleCore = 0.3

// A view is a lock for which threads wait.
type view struct {
	*facts.Lock
	wait float64
	// used and idle are cores: those that the process uses, and those that it could use in
	// addition.
	used, idle float64
}

func look(p *facts.Pass, l *facts.Lock) *view {
	v := &view{Lock: l, wait: l.Wait(p.Seconds)}
	v.used, _ = p.Rate(catalog.ProcessCPU, l.Process)
	v.idle, _ = p.UsableIdle(l.Process)
	return v
}

// Confidences. Threads wait for these locks in any case; that just the requests wait for
// them is not seen.
const (
	sureInterpreter = 0.9
	sureMutex       = 0.85
)

func (v *view) finding(p *facts.Pass) analysis.Finding {
	f := analysis.Finding{Cause: oneLock, Severity: analysis.Warning, Confidence: sureMutex, Subject: v.Process}
	if v.Kind == catalog.LockInterpreter {
		f.Cause, f.Confidence = interpreterLock, sureInterpreter
	}
	if v.wait >= p.Param(criticalWait) {
		f.Severity = analysis.Critical
	}
	f.Impact = v.Delayed(p.Seconds) / max(1, v.Requests)
	f.Summary, f.Evidence = v.summary(p), v.evidence(p)
	f.Recommendations = []analysis.Recommendation{v.advice(p)}
	v.explain(p, &f)
	return f
}

// explain sets the time for which the thread that holds the lock could not run.
func (v *view) explain(p *facts.Pass, f *analysis.Finding) {
	f.LostTotal = p.Seconds
	f.Lost = map[string]float64{throttled: min(p.Seconds, p.MostOfCgroups(catalog.CgroupThrottledS, v.Process))}
	f.Without = f.Unexplained
}
