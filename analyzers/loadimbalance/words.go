// SPDX-License-Identifier: Apache-2.0

package loadimbalance

import (
	"fmt"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

func (b *balance) finding(p *facts.Pass, cause string) analysis.Finding {
	// Confidence of the cause: connections were counted, or only their load is known.
	const counted, inferred = 0.85, 0.7
	severity, confidence, late := analysis.Info, inferred, b.late(p)
	if late {
		severity = analysis.Warning
	}
	if cause != stickyConnections {
		confidence = counted
	}
	return analysis.Finding{
		Cause: cause, Severity: severity, Confidence: confidence, Impact: b.impact(late), Subject: b.hot.Process,
		Summary:         b.summary(p, cause, late),
		Evidence:        b.evidence(p),
		Recommendations: []analysis.Recommendation{b.advice(p, cause, late)},
		Lost:            b.lost(p),
		LostTotal:       b.hot.Busy * b.hot.Seconds,
		Without:         func(causes []string) bool { return b.stands(p, causes) },
	}
}

func (b *balance) summary(p *facts.Pass, cause string, late bool) string {
	text := fmt.Sprintf("%s is %s busy, the other %s on average",
		p.Name(b.hot.Process), analysis.Percent(b.hot.Busy), b.otherWorkers()+" "+analysis.Percent(b.others))
	if late {
		text = fmt.Sprintf("%s gets to requests %s late (p99), the other %s %s: it is %s busy, they %s on average",
			p.Name(b.hot.Process), analysis.Seconds(b.p99()), b.otherWorkers(), analysis.Seconds(b.othersP99()),
			analysis.Percent(b.hot.Busy), analysis.Percent(b.others))
	}
	most, mean, known := b.connections(p)
	switch {
	case cause == unequalWorkers:
		return fmt.Sprintf("%s, because it waits for a CPU for %s of that time", text, analysis.Percent(b.waits(p)))
	case known:
		return fmt.Sprintf("%s, with %.0f of %s", text, most, analysis.Number(mean*float64(len(b.pool.Workers)), "connection", "connections"))
	}
	return text
}

// otherWorkers is the number of the others: worker, 3 workers.
func (b *balance) otherWorkers() string {
	if len(b.rest) == 1 {
		return "worker"
	}
	return fmt.Sprintf("%d workers", len(b.rest))
}

func (b *balance) evidence(p *facts.Pass) []analysis.Evidence {
	e := []analysis.Evidence{
		{Metric: catalog.LoopBusy, Label: "share of the window", Value: b.hot.Busy, Unit: observe.Ratio, Bound: analysis.Bound(p.Param(hotWorker))},
		{Metric: catalog.LoopBusy, Label: "mean of the others", Value: b.others, Unit: observe.Ratio},
		{Metric: catalog.LoopLag, Label: "p99", Value: b.p99(), Unit: observe.Seconds, Bound: analysis.Bound(p.Param(lateP99))},
		{Metric: catalog.LoopLag, Label: "p99 of the others", Value: b.othersP99(), Unit: observe.Seconds},
	}
	if most, mean, known := b.connections(p); known {
		e = append(e, analysis.Evidence{Metric: catalog.ProcessAccepted, Label: "connections", Value: most, Unit: observe.Count, Bound: analysis.Bound(p.Param(manyConnections) * mean)})
	}
	return e
}

func (b *balance) advice(p *facts.Pass, cause string, late bool) analysis.Recommendation {
	move := b.toMove()
	r := analysis.Recommendation{
		Verb: analysis.Rebalance, Quantity: move,
		Verify: fmt.Sprintf("headroom.loop.busy.time of each worker of %s comes within %s of the mean", p.Command(b.hot.Process), analysis.Percent(p.Param(leastGap)/2)),
		Expect: []analysis.Expectation{{Metric: catalog.LoopBusy, Label: "share of the window", From: b.hot.Busy, To: b.mean, Unit: observe.Ratio}},
	}
	if late {
		r.Expect = append(r.Expect, analysis.Expectation{Metric: catalog.LoopLag, Label: "p99", From: b.p99(), To: b.lagAfter(), Unit: observe.Seconds})
	}
	share := analysis.Percent(move.Value)
	switch cause {
	case unequalWorkers:
		r.Quantity = nil
		r.Action = b.sameCPUs(p)
		r.Risk = "what runs on those CPUs now gets less of them"
		r.NotIf = "this worker is meant to have less"
	case acceptSkew:
		r.Action = fmt.Sprintf("Move %s of the load of %s to the other workers: %s", share, p.Name(b.hot.Process), inTurn(b.hot.Runtime))
		r.Risk = "new connections go to another worker, where state in memory (sessions, caches) is missing"
		r.NotIf = "clients must stay with one worker"
	default:
		r.Action = fmt.Sprintf("Move %s of the load of %s to the other workers: %s", share, p.Name(b.hot.Process), shorterConnections(b.hot.Runtime))
		r.Risk = "clients connect more often"
		r.NotIf = "one client sends most of the load on one connection: only more connections of that client, or a proxy that balances requests, spread it"
	}
	return r
}

// inTurn is how workers of a runtime take turns at accepting connections.
func inTurn(runtime string) string {
	switch runtime {
	case "node":
		return "let the primary hand out connections in turn (cluster.schedulingPolicy = cluster.SCHED_RR), and close each after some requests (server.maxRequestsPerSocket)"
	case "nginx":
		return "give each worker a listening socket of its own (listen … reuseport), and close connections after some requests (keepalive_requests)"
	}
	return "give each worker a listening socket of its own (SO_REUSEPORT), or put a proxy in front that balances by the number of connections (least_conn)"
}

// shorterConnections is how a server of a runtime ends connections, so that clients
// open them anew at another worker.
func shorterConnections(runtime string) string {
	setting := "a maximum age or number of requests of a connection"
	switch runtime {
	case "node":
		setting = "server.maxRequestsPerSocket"
	case "nginx":
		setting = "keepalive_requests, keepalive_time"
	}
	return fmt.Sprintf("close each connection after some requests (%s), or put a proxy in front that balances requests", setting)
}

// sameCPUs is the advice for a worker that gets less of the CPUs than the others.
func (b *balance) sameCPUs(p *facts.Pass) string {
	own, known := p.Last(catalog.ProcessAffinity, b.hot.Process)
	most := 0.0
	for _, l := range b.rest {
		n, _ := p.Last(catalog.ProcessAffinity, l.Process)
		most = max(most, n)
	}
	if known && own < most {
		return fmt.Sprintf("Let %s run on %s as the other workers may, from %s (its CPU affinity)",
			p.Name(b.hot.Process), analysis.Number(most, "CPU", "CPUs"), analysis.Number(own, "CPU", "CPUs"))
	}
	if p.IncreaseOr0(catalog.LoopThrottled, b.hot.ID) > p.IncreaseOr0(catalog.LoopRunQueue, b.hot.ID) {
		return fmt.Sprintf("Give %s the CPU limit of the other workers: its own cgroup throttles it", p.Name(b.hot.Process))
	}
	return fmt.Sprintf("Give %s CPUs that it shares with no more than the other workers do: something else runs on its CPU", p.Name(b.hot.Process))
}
