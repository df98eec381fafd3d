// SPDX-License-Identifier: Apache-2.0

// Package slowupstream finds services whose requests wait for a database most of the time,
// and says where that time goes: on the database's CPUs, on its disk, in waits inside it,
// or in the network.
package slowupstream

import (
	_ "embed"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

//go:embed doc.md
var doc string

// Analyzer is slow-upstream.
var Analyzer = &analysis.Analyzer{
	Name:     "slow-upstream",
	Title:    "Do requests wait for a database?",
	Doc:      doc,
	Category: analysis.CategoryCaching,
	Causes:   []string{onCPU, onDisk, waits, network, unknown},
	Verbs:    []analysis.Verb{analysis.ReduceWork, analysis.FindCause},
	Needs:    []*observe.Metric{catalog.CallDuration, catalog.RequestDuration},
	Wants: []*observe.Metric{catalog.CallActive, catalog.CallOldest, catalog.ClientRTT, catalog.ClientIdleTime, catalog.RequestActive, catalog.RequestOldest,
		catalog.ProcessCPU, catalog.ProcessRunQueue, catalog.ProcessDiskWaiting, catalog.ListenerQueue, catalog.LoopBusy,
		catalog.StatementCalls, catalog.StatementTime},
	Params:     []*analysis.Param{leastTime, warningTime, criticalTime},
	SymptomOf:  []string{hostFull, diskFull, nPlusOne},
	MinSeconds: 30,
	Run:        facts.Run(run),
}

// The causes.
const (
	onCPU   = "database-cpu"
	onDisk  = "database-disk"
	waits   = "lock-or-sleep"
	network = "network"
	unknown = "unknown"
)

// The analyzers that can explain why the database is slow, or why it is called so often.
const (
	hostFull = "host-saturated"
	diskFull = "disk-saturated"
	nPlusOne = "n-plus-one"
)

var (
	leastTime = &analysis.Param{Name: "least-time", Unit: observe.Seconds, Default: 0.1, Enters: true,
		Doc: "Mean time of a request in calls to the database, from which it is an info. A page needs several requests, and people notice 100 ms."}
	warningTime = &analysis.Param{Name: "warning-time", Unit: observe.Seconds, Default: 0.25,
		Doc: "The same, at which it is a warning: with four requests one after another, a page takes a second, and users notice that they wait. Reports that take 100 ms by design are common."}
	criticalTime = &analysis.Param{Name: "critical-time", Unit: observe.Seconds, Default: 10,
		Doc: "The same, at which it is critical: the shortest common timeouts of clients and health checks are 5 to 10 s."}
)

func run(p *facts.Pass) []analysis.Finding {
	var fs []analysis.Finding
	for _, c := range p.ClientCalls() {
		p.Checked()
		if c.Dominate() && c.Spent() >= p.Param(leastTime) && !p.BusyItself(c.Process) {
			fs = append(fs, finding(p, look(p, c)))
		}
	}
	return fs
}

func finding(p *facts.Pass, v *view) analysis.Finding {
	f := analysis.Finding{Cause: v.cause, Severity: analysis.Info, Confidence: v.confidence(), Subject: v.Process, Impact: v.Share()}
	switch spent := v.Spent(); {
	case spent >= p.Param(criticalTime):
		f.Severity = analysis.Critical
	case spent >= p.Param(warningTime):
		f.Severity = analysis.Warning
	}
	f.Summary, f.Evidence = v.summary(p), v.evidence(p)
	f.Recommendations = []analysis.Recommendation{v.advice(p)}
	v.explain(p, &f)
	return f
}

// Confidences. Calls of other work in the same process can look like those of requests,
// and a database that is not on this host shows less.
const (
	sure        = 0.8
	sureUnknown = 0.6
)

func (v *view) confidence() float64 {
	if v.cause == unknown {
		return sureUnknown
	}
	return sure
}
