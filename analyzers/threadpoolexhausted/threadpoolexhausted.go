// SPDX-License-Identifier: Apache-2.0

// Package threadpoolexhausted finds services whose requests wait for a thread of libuv's
// pool, and says what fills the pool, and which size or which call ends the wait.
package threadpoolexhausted

import (
	_ "embed"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

//go:embed doc.md
var doc string

// Analyzer is thread-pool-exhausted.
var Analyzer = &analysis.Analyzer{
	Name:     "thread-pool-exhausted",
	Title:    "Does work wait for a thread of a pool?",
	Doc:      doc,
	Category: analysis.CategoryEventLoop,
	Causes:   []string{blocked, tooSmall, outOfCPU},
	Verbs:    []analysis.Verb{analysis.MakeAsync, analysis.SetPoolSize, analysis.AddCache, analysis.ReduceWork},
	Needs:    []*observe.Metric{catalog.PoolThreads, catalog.RequestActive},
	Wants: []*observe.Metric{catalog.PoolActive, catalog.PoolWaiting, catalog.PoolLookups, catalog.PoolWaitingLookups, catalog.PoolWaitingFiles,
		catalog.PoolReadings, catalog.PoolThreadsIn, catalog.RequestDuration, catalog.RequestOldest, catalog.ThreadCPU, catalog.ThreadRunQueue,
		catalog.LoopBusy, catalog.CPUIdle, catalog.CgroupThrottledS},
	Params:     []*analysis.Param{leastWait, criticalWait},
	SymptomOf:  []string{throttled, hostFull},
	MinSeconds: 30,
	Run:        facts.Run(run),
}

// The causes.
const (
	blocked  = "pool-blocked"
	tooSmall = "pool-too-small"
	outOfCPU = "out-of-cpu"
)

// The analyzers that can explain that a pool has too little CPU time.
const (
	throttled = "cpu-throttled"
	hostFull  = "host-saturated"
)

var (
	leastWait = &analysis.Param{Name: "least-wait", Unit: observe.Seconds, Default: 0.1, Enters: true,
		Doc: "Mean time that a request waits for a thread of the pool. A page needs several requests, and people notice 100 ms."}
	criticalWait = &analysis.Param{Name: "critical-wait", Unit: observe.Seconds, Default: 10,
		Doc: "The same, at which it is critical: the shortest common timeouts of clients and health checks are 5 to 10 s."}
)

func run(p *facts.Pass) []analysis.Finding {
	var fs []analysis.Finding
	for range p.Entities(catalog.PoolThreads) {
		p.Checked()
	}
	for _, t := range p.ThreadPools() {
		if t.Exhausted() && t.Wait() >= p.Param(leastWait) {
			fs = append(fs, finding(p, look(p, t)))
		}
	}
	return fs
}

// sure is the confidence. That just these requests wait for just this work is not seen.
const sure = 0.85

func finding(p *facts.Pass, v *view) analysis.Finding {
	f := analysis.Finding{Cause: v.cause(), Severity: analysis.Warning, Confidence: sure, Subject: v.Process}
	if v.Wait() >= p.Param(criticalWait) {
		f.Severity = analysis.Critical
	}
	f.Impact = v.Share * v.Delayed() / max(1, v.Requests)
	f.Summary, f.Evidence, f.Recommendations = v.summary(p), v.evidence(p), v.advice(p)
	v.explain(p, &f)
	return f
}

// explain sets the time that a lack of CPU time can explain.
func (v *view) explain(p *facts.Pass, f *analysis.Finding) {
	f.LostTotal = p.Seconds
	f.Lost = make(map[string]float64)
	if v.fill == computes {
		f.Lost[throttled] = min(p.Seconds, p.MostOfCgroups(catalog.CgroupThrottledS, v.Process))
	}
	if v.cause() == outOfCPU {
		f.Lost[hostFull] = p.Seconds
	}
	f.Without = f.Unexplained
}
