// SPDX-License-Identifier: Apache-2.0

// Package poolexhausted finds services whose requests wait for a connection to a database,
// and says how many connections end the wait, or what keeps the connections.
package poolexhausted

import (
	_ "embed"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

//go:embed doc.md
var doc string

// Analyzer is pool-exhausted.
var Analyzer = &analysis.Analyzer{
	Name:     "pool-exhausted",
	Title:    "Do requests wait for a connection of a pool?",
	Doc:      doc,
	Category: analysis.CategoryConnections,
	Causes:   []string{heldIdle, tooFew, databaseFull},
	Verbs:    []analysis.Verb{analysis.ReleaseEarlier, analysis.SetPoolSize, analysis.ReduceWork},
	Needs:    []*observe.Metric{catalog.ClientUsedTime, catalog.RequestActive},
	Wants: []*observe.Metric{catalog.ClientConnections, catalog.ClientUses, catalog.ClientIdleTime, catalog.RequestDuration, catalog.RequestArrivals,
		catalog.ProcessCPU, catalog.CPUIdle, catalog.LoopBusy},
	Params:     []*analysis.Param{leastWait, criticalWait},
	MinSeconds: 30,
	Run:        facts.Run(run),
}

// The causes.
const (
	heldIdle     = "held-in-idle-transaction"
	tooFew       = "too-few-connections"
	databaseFull = "database-out-of-cpu"
)

var (
	leastWait = &analysis.Param{Name: "least-wait", Unit: observe.Seconds, Default: 0.1, Enters: true,
		Doc: "Mean time that a request waits for a connection. A page needs several requests, and people notice 100 ms."}
	criticalWait = &analysis.Param{Name: "critical-wait", Unit: observe.Seconds, Default: 10,
		Doc: "The same, at which it is critical: the shortest common timeouts of clients and health checks are 5 to 10 s."}
)

func run(p *facts.Pass) []analysis.Finding {
	var fs []analysis.Finding
	for _, c := range p.ClientPools() {
		p.Checked()
		if c.Exhausted() && c.Wait() >= p.Param(leastWait) && !p.BusyItself(c.Process) {
			fs = append(fs, finding(p, c))
		}
	}
	return fs
}

func finding(p *facts.Pass, c *facts.ClientPool) analysis.Finding {
	d := look(p, c)
	f := analysis.Finding{Cause: d.cause(), Severity: analysis.Warning, Confidence: sure, Subject: c.Process}
	if c.Wait() >= p.Param(criticalWait) {
		f.Severity = analysis.Critical
	}
	f.Impact = min(1, c.Waiting()/c.Active)
	f.Summary, f.Evidence, f.Recommendations = d.summary(p), d.evidence(p), d.advice(p)
	return f
}

// sure is the confidence. That just these requests need just these connections is not
// seen: they could wait for something else while other work fills the pool.
const sure = 0.8
