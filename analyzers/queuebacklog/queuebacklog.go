// SPDX-License-Identifier: Apache-2.0

// Package queuebacklog finds queues whose consumers do not keep up with the arrivals,
// says why, and how many are needed. The accept queue of a server whose workers serve one
// connection at a time is such a queue.
package queuebacklog

import (
	_ "embed"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

//go:embed doc.md
var doc string

// Analyzer is queue-backlog.
var Analyzer = &analysis.Analyzer{
	Name:     "queue-backlog",
	Title:    "Do the workers of a queue or of a server keep up, and how many does it need?",
	Doc:      doc,
	Category: analysis.CategoryQueues,
	Causes:   []string{tooFewWorkers, noConsumers, downstreamSaturated, prefetch, poisonMessages, outOfCPU},
	Verbs:    []analysis.Verb{analysis.AddWorkers, analysis.ScaleDownstream, analysis.ChangePrefetch, analysis.DeadLetter, analysis.AddNodes, analysis.RaiseCPULimit},
	Needs:    []*observe.Metric{catalog.QueueReady, catalog.ListenerQueue},
	OneOf:    true, // brokers, and servers without one
	Wants: []*observe.Metric{catalog.QueueUnacknowledged, catalog.QueuePublished, catalog.QueueDelivered, catalog.QueueAcknowledged,
		catalog.QueueRedelivered, catalog.QueueConsumers, catalog.QueueBusyConsumers, catalog.QueueMostHeld, catalog.QueuePrefetch,
		catalog.QueueWorkers, catalog.QueueWorkerTime, catalog.QueueUpstreamTime, catalog.QueueUpstreamWaits, catalog.RequestActive, catalog.ProcessCPU, catalog.CgroupCPULimit, catalog.CgroupCPUTime, catalog.CPUIdle, catalog.CPUIOWait,
		catalog.ListenerDrops, catalog.RequestArrivals, catalog.ProcessListens, catalog.ProcessAccepted, catalog.ProcessMemory, catalog.ClientUsedTime},
	Params:     []*analysis.Param{warnWait, criticalWait, leastWait, drainWithin, maxUse, repeated, hoardWait, requestWait, criticalRequestWait},
	SymptomOf:  []string{throttled, hostFull},
	MinSeconds: 30,
	Slow:       true,
	Run:        facts.Run(run),
}

const (
	tooFewWorkers       = "too-few-workers"
	noConsumers         = "no-consumers"
	downstreamSaturated = "downstream-saturated"
	prefetch            = "prefetch"
	poisonMessages      = "poison-messages"
	outOfCPU            = "out-of-cpu"
)

var (
	warnWait = &analysis.Param{Name: "warn-wait", Unit: observe.Seconds, Default: 60, Enters: true,
		Doc: "Time that a new message waits from which a backlog that does not grow is a warning: work that may wait a minute is usually put into a queue, work that may not is answered at once."}
	criticalWait = &analysis.Param{Name: "critical-wait", Unit: observe.Seconds, Default: 600,
		Doc: "Time that a new message waits that is critical: ten times the warning."}
	leastWait = &analysis.Param{Name: "least-wait", Unit: observe.Seconds, Default: 1, Enters: true,
		Doc: "Time that a new message waits from which a backlog that grows through the whole window is reported: less is the noise of arrivals."}
	drainWithin = &analysis.Param{Name: "drain-within", Unit: observe.Seconds, Default: 300,
		Doc: "Time within which a backlog may drain. A fill that the consumers empty in time is planned work; the recommended number of consumers empties the backlog in this time."}
	maxUse = &analysis.Param{Name: "max-use", Unit: observe.Ratio, Default: 0.85,
		Doc: "Share of the consumers that may be busy on average. At 85 % the mean wait of a single consumer is 6 service times, and it doubles at 92 %."}
	repeated = &analysis.Param{Name: "repeated-share", Unit: observe.Ratio, Default: 0.05, Enters: true,
		Doc: "Share of deliveries that repeat one from which messages that cannot be handled are reported: connections that break repeat far fewer."}
	hoardWait = &analysis.Param{Name: "hoard-wait", Unit: observe.Seconds, Default: 5, Enters: true,
		Doc: "Time for which a message waits in one consumer, while others are idle, that is a warning."}
	requestWait = &analysis.Param{Name: "request-wait", Unit: observe.Seconds, Default: 0.1, Enters: true,
		Doc: "Time that a request waits in the accept queue of a server until a worker takes it. A page needs several requests, and people notice 100 ms. It is also the wait that 95 % of the requests stay below with the recommended number of workers."}
	criticalRequestWait = &analysis.Param{Name: "critical-request-wait", Unit: observe.Seconds, Default: 10,
		Doc: "The same, at which it is critical: the shortest common timeouts of clients and health checks are 5 to 10 s."}
)

func run(p *facts.Pass) []analysis.Finding {
	var fs []analysis.Finding
	for id := range p.Entities(catalog.QueueReady) {
		if p.Attr(id, catalog.AttrQueue) == catalog.OtherQueues {
			continue // the sum of many
		}
		q, ok := look(p, id)
		if !ok {
			continue
		}
		p.Checked()
		if f, found := q.judge(p); found {
			fs = append(fs, f)
		}
	}
	for _, s := range p.SyncPools() {
		p.Checked()
		if w, ok := lookPool(p, s); ok && w.late(p) {
			fs = append(fs, w.finding(p))
		}
	}
	return fs
}

// judge returns the finding about a queue, if there is one. Messages that come back
// explain a backlog better than the number of consumers does.
func (q *queue) judge(p *facts.Pass) (analysis.Finding, bool) {
	switch {
	case q.unserved():
		return q.noConsumers(p), true
	case q.poisoned(p):
		return q.poison(p), true
	case q.hoarded(p):
		return q.hoard(p), true
	case q.behind(p):
		return q.backlog(p), true
	}
	return analysis.Finding{}, false
}
