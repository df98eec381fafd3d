// SPDX-License-Identifier: Apache-2.0

// Package requestswaiting finds services whose clients wait for answers although the
// process has accepted their requests, and says what its threads did meanwhile.
package requestswaiting

import (
	_ "embed"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

//go:embed doc.md
var doc string

// Analyzer is requests-waiting.
var Analyzer = &analysis.Analyzer{
	Name:     "requests-waiting",
	Title:    "Do requests wait inside a service?",
	Doc:      doc,
	Category: analysis.CategoryEventLoop,
	Causes:   []string{blockedOnDescriptor, waitingForThread, unknown},
	Verbs:    []analysis.Verb{analysis.MakeAsync, analysis.FindCause, analysis.AddProcesses},
	Needs:    []*observe.Metric{catalog.RequestActive},
	Wants: []*observe.Metric{catalog.RequestArrivals, catalog.RequestDuration, catalog.RequestOldest, catalog.RequestUnread, catalog.RequestUnreadAge,
		catalog.RequestReadings, catalog.RequestThreads, catalog.ProcessAccepted, catalog.ProcessEstablished, catalog.ProcessCPU, catalog.ProcessRunQueue,
		catalog.ProcessThreads, catalog.ThreadCPU, catalog.CPUIdle, catalog.LoopBusy, catalog.ClientUsedTime, catalog.ClientConnections, catalog.ClientUses,
		catalog.ListenerQueue, catalog.ProcessListens, catalog.CallDuration, catalog.CallActive, catalog.StatementCalls, catalog.StatementTime,
		catalog.PoolThreads, catalog.PoolActive, catalog.PoolWaiting, catalog.LockReadings, catalog.LockWaiters},
	Params: []*analysis.Param{unreadAge, criticalAge, grown, stretch, leastWait, usual},
	SymptomOf: []string{loopBlocked, loopSaturated, throttled, runQueue, hostFull, oneThread, diskFull, memoryLimit, poolExhausted, slowUpstream,
		queueBacklog, threadPool, oneLock, nPlusOne},
	MinSeconds: 30,
	Run:        facts.Run(run),
}

// The causes.
const (
	blockedOnDescriptor = "blocked-on-descriptor"
	waitingForThread    = "waiting-for-thread"
	unknown             = "unknown"
)

var (
	unreadAge = &analysis.Param{Name: "unread-age", Unit: observe.Seconds, Default: 1, Enters: true,
		Doc: "Age of a request that the process has not read. Load shedders drop a request that waited for a second, and a thread that only had to finish what it did is done by then."}
	criticalAge = &analysis.Param{Name: "critical-age", Unit: observe.Seconds, Default: 10,
		Doc: "The same, at which it is critical: the shortest common timeouts of clients and health checks are 5 to 10 s."}
	grown = &analysis.Param{Name: "growth", Unit: "{request}", Default: 10, Enters: true,
		Doc: "Requests by which those in flight must grow over the window, with the connections that carry them. Fewer are a burst."}
	stretch = &analysis.Param{Name: "stretch", Unit: observe.Ratio, Default: 2.5,
		Doc: "Requests in flight for each core that the service uses, while that is all that it can use. From here on a request waits for most of its time. Two are one that runs and one that is next."}
	leastWait = &analysis.Param{Name: "least-wait", Unit: observe.Seconds, Default: 0.1, Enters: true,
		Doc: "Time that half of the requests wait at least, beside the time for which they run. A page needs several requests, and people notice 100 ms."}
	usual = &analysis.Param{Name: "long-answer", Unit: observe.Seconds, Default: 1, Enters: true,
		Doc: "Time from which half of the answers are worth an info, if nothing shows why they take so long. Long polls and exports take seconds by design, so this is never more than an info."}
)

func run(p *facts.Pass) []analysis.Finding {
	var fs []analysis.Finding
	for process := range p.Entities(catalog.RequestActive) {
		p.Checked()
		v := look(p, process)
		if f, ok := v.finding(p); ok {
			fs = append(fs, f)
		}
	}
	return fs
}

// finding returns the finding about the strongest evidence that requests wait.
func (v *view) finding(p *facts.Pass) (analysis.Finding, bool) {
	on, busy := v.blockedOn(p), v.hotThread(p)
	switch {
	case v.unreadFor >= p.Param(unreadAge):
		v.why = unread
	case v.waitsByDesign(p):
		return analysis.Finding{}, false
	case busy.queue:
		v.why = queued
	case on.certain && (v.oldest >= p.Param(usual) || v.slowAnswers() > 0):
		v.why = stuck
	case v.piles(p):
		v.why = piled
	case v.long(p):
		v.why = long
	default:
		return analysis.Finding{}, false
	}
	f := analysis.Finding{Severity: v.severity(p), Subject: v.process, Cause: cause(on, busy), Confidence: v.confidence(on), Impact: v.impact(busy)}
	f.Summary, f.Evidence = v.summary(p, on, busy), v.evidence(p, on, busy)
	f.Recommendations = []analysis.Recommendation{v.advice(p, on, busy)}
	v.explain(p, &f)
	return f, true
}

func cause(on blocked, busy hot) string {
	switch {
	case on.certain:
		return blockedOnDescriptor
	case busy.full:
		return waitingForThread
	case on.threads > 0:
		return blockedOnDescriptor
	}
	return unknown
}

func (v *view) severity(p *facts.Pass) analysis.Severity {
	switch {
	case v.why == unread && v.unreadFor >= p.Param(criticalAge):
		return analysis.Critical
	case v.why == long:
		return analysis.Info
	}
	return analysis.Warning
}

// Confidences, by what shows that requests wait. An unread request waits in any case.
const (
	sureUnread = 0.95
	sureStuck  = 0.8
	sureQueued = 0.75
	surePiled  = 0.6
	sureLong   = 0.4
)

func (v *view) confidence(on blocked) float64 {
	switch v.why {
	case unread:
		return sureUnread
	case stuck:
		return sureStuck
	case queued:
		return sureQueued
	case piled:
		if on.certain {
			return sureStuck
		}
		return surePiled
	}
	return sureLong
}
