// SPDX-License-Identifier: Apache-2.0

// Package nplusone finds services that ask a database for many rows one by one in each
// request, and says how many calls, and how much time, one query would save.
package nplusone

import (
	_ "embed"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

//go:embed doc.md
var doc string

// Analyzer is n-plus-one.
var Analyzer = &analysis.Analyzer{
	Name:     "n-plus-one",
	Title:    "Does a request repeat a query?",
	Doc:      doc,
	Category: analysis.CategoryCaching,
	Causes:   []string{repeated},
	Verbs:    []analysis.Verb{analysis.BatchQueries},
	Needs:    []*observe.Metric{catalog.StatementCalls, catalog.RequestDuration},
	Wants: []*observe.Metric{catalog.StatementTime, catalog.CallDuration, catalog.CallBusy, catalog.CallLate, catalog.RequestActive,
		catalog.ProcessCPU, catalog.ListenerQueue},
	Params:     []*analysis.Param{leastShare, leastTime, warningTime, criticalTime},
	MinSeconds: 30,
	Run:        facts.Run(run),
}

// repeated is the only cause.
const repeated = "repeated-in-request"

var (
	leastShare = &analysis.Param{Name: "least-share", Unit: observe.Ratio, Default: 0.5, Enters: true,
		Doc: "Share of the time of a request that one query would save. Below a half, something else takes most of the time."}
	leastTime = &analysis.Param{Name: "least-time", Unit: observe.Seconds, Default: 0.01, Enters: true,
		Doc: "Time of a request that one query would save, from which it is an info: it grows with the number of rows, and clients notice it after a few times as many."}
	warningTime = &analysis.Param{Name: "warning-time", Unit: observe.Seconds, Default: 0.05,
		Doc: "The same, at which it is a warning: with two requests one after another, a page takes 100 ms longer, which people notice."}
	criticalTime = &analysis.Param{Name: "critical-time", Unit: observe.Seconds, Default: 10,
		Doc: "The same, at which it is critical: the shortest common timeouts of clients and health checks are 5 to 10 s."}
)

func run(p *facts.Pass) []analysis.Finding {
	var fs []analysis.Finding
	for _, r := range p.Repeats() {
		p.Checked()
		won := r.Won()
		if r.Repeats() && won >= p.Param(leastTime) && won >= p.Param(leastShare)*r.Request {
			fs = append(fs, finding(p, r))
		}
	}
	return fs
}

// sure is the confidence. That just these requests make these calls is not seen.
const sure = 0.8

func finding(p *facts.Pass, r *facts.Repeat) analysis.Finding {
	return analysis.Finding{
		Cause: repeated, Severity: severity(p, r.Won()), Confidence: sure, Impact: r.Won() / r.Request, Subject: r.Process,
		Summary: summary(p, r), Evidence: evidence(p, r), Recommendations: []analysis.Recommendation{advice(p, r)},
	}
}

func severity(p *facts.Pass, won float64) analysis.Severity {
	switch {
	case won >= p.Param(criticalTime):
		return analysis.Critical
	case won >= p.Param(warningTime):
		return analysis.Warning
	}
	return analysis.Info
}
