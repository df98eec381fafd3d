// SPDX-License-Identifier: Apache-2.0

package queuebacklog

import (
	"fmt"
	"math"
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

const (
	// measured is the confidence if the effect of more consumers was measured, counted if
	// only rates were, and likely if it is not known that something is wrong.
	measured, counted, likely = 0.9, 0.7, 0.5
	// leastElasticity is the effect of one percent more consumers below which more do not
	// help.
	leastElasticity = 0.2
	// idle is the share of busy consumers below which consumers are not what is missing.
	idle = 0.7
)

func (q *queue) evidence(p *facts.Pass) []analysis.Evidence {
	e := []analysis.Evidence{
		{Metric: catalog.QueueReady, Label: "messages waiting", Value: q.ready, Unit: observe.Count},
		{Metric: catalog.QueuePublished, Label: "arrivals per second", Value: q.arrivals.mean, Unit: observe.Count},
		{Metric: catalog.QueueAcknowledged, Label: "handled per second", Value: q.done.mean, Unit: observe.Count},
		{Metric: catalog.QueueConsumers, Label: "consumers", Value: q.consumers, Unit: observe.Count},
	}
	if q.workers != nil {
		e = append(e, analysis.Evidence{Metric: catalog.QueueWorkers, Label: "processes that consume", Value: q.servers(), Unit: observe.Count},
			analysis.Evidence{Metric: catalog.ProcessCPU, Label: "CPU use of each", Value: q.workers.cpu, Unit: observe.Cores})
	}
	return e
}

// backlog is the finding about consumers that do not keep up.
func (q *queue) backlog(p *facts.Pass) analysis.Finding {
	f := analysis.Finding{
		Cause: tooFewWorkers, Severity: analysis.Warning, Subject: q.id,
		Impact:  min(1, max(q.growth.mean/max(q.arrivals.mean, 1e-9), q.wait()/(q.wait()+p.Seconds))),
		Summary: q.summary(),
		Evidence: append(q.evidence(p), analysis.Evidence{Metric: catalog.QueueReady, Label: "wait of a new message",
			Value: q.wait(), Unit: observe.Seconds, Bound: analysis.Bound(p.Param(warnWait))}),
	}
	if q.wait() >= p.Param(criticalWait) {
		f.Severity = analysis.Critical
	}
	before, after, e, known := q.scaled()
	u := q.upstreamOf(p)
	var notIf string
	notIf, f.Confidence = q.caveat(u)
	switch {
	case known && e < leastElasticity:
		f.Cause, f.Confidence = downstreamSaturated, measured
		f.Summary += fmt.Sprintf("; %.0f instead of %.0f consumers changed the rate from %s to %s per second", after.consumers, before.consumers, number(before.rate), number(after.rate))
		f.Recommendations = []analysis.Recommendation{q.downstream(u)}
		return f
	case u != nil && u.saturated(p, q.servers()) != "":
		f.Cause, f.Confidence = downstreamSaturated, counted
		f.Summary += "; " + u.saturated(p, q.servers())
		f.Recommendations = []analysis.Recommendation{u.scale(q, p)}
		return f
	case known:
		f.Confidence = measured
	case q.busyKnown && q.busy < idle:
		f.Confidence = likely
	}
	f.Recommendations = []analysis.Recommendation{q.add(p, notIf)}
	return f
}

// summary says how long messages wait, whether that grows, and the rates.
func (q *queue) summary() string {
	change := "and the backlog does not shrink"
	switch {
	case q.grows():
		change = fmt.Sprintf("and the backlog grows by %s per second", number(q.growth.mean))
	case q.shrinks():
		change = fmt.Sprintf("and the backlog takes %s to drain", analysis.Ahead(q.drains()))
	}
	return fmt.Sprintf("Messages in %s wait %s for a consumer %s: %s arrive per second, %s %s (%s each), %.0f wait",
		q.name, long(q.wait()), change, number(q.arrivals.mean), analysis.Number(q.consumers, "consumer handles", "consumers handle"), number(q.done.mean),
		analysis.Seconds(q.consumers/q.done.mean), q.ready)
}

// long formats a time that may be longer than minutes.
func long(s float64) string {
	if s < 100 {
		return analysis.Seconds(s)
	}
	return analysis.Ahead(s)
}

// number formats a rate or an average.
func number(v float64) string {
	if math.Abs(v) < 9.95 {
		return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0")
	}
	return fmt.Sprintf("%.0f", v)
}

// add recommends a number of workers, with the interval that the readings give.
func (q *queue) add(p *facts.Pass, notIf string) analysis.Recommendation {
	steady, now := q.needed(p, q.arrivals.mean, q.done.mean)
	_, low := q.needed(p, q.arrivals.low, q.done.high)
	_, high := q.needed(p, q.arrivals.high, max(q.done.low, q.done.mean/2))
	action := q.change(q.units(now))
	one, many := q.unit()
	switch {
	case now > steady:
		action += fmt.Sprintf(", which empty it in %s; %.0f are then enough for %s messages per second",
			analysis.Ahead(q.load().Drain(q.ready, int(now))), q.units(steady), number(q.arrivals.mean))
	case now <= q.servers():
		action = fmt.Sprintf("Keep %s of %s until the backlog has drained, or add 1", analysis.Number(q.units(q.servers()), one, many), q.name)
		now, high = q.servers(), max(high, q.servers()+1)
	}
	return analysis.Recommendation{
		Verb:     analysis.AddWorkers,
		Quantity: &analysis.Estimate{Value: q.units(now), Low: analysis.Bound(q.units(min(low, now))), High: analysis.Bound(q.units(max(high, now))), Unit: many},
		Action:   action,
		Verify:   fmt.Sprintf("headroom.queue.messages of %s that are ready fall to 0, and busy consumers to less than %s", q.name, analysis.Percent(p.Param(maxUse))),
		Risk:     q.risk(p, now),
		NotIf:    notIf,
		Expect: []analysis.Expectation{{Metric: catalog.QueueAcknowledged, Label: "handled per second", From: q.done.mean,
			To: now / q.servers() * q.done.mean, Unit: observe.Count}},
	}
}

// risk says what more workers use.
func (q *queue) risk(p *facts.Pass, now float64) string {
	risk := "what the consumers use, such as a database, gets as many more requests"
	if q.workers == nil {
		return risk
	}
	idle, known := p.IdleCores()
	if more := (now - q.servers()) * q.workers.cpu; known && more > idle {
		return fmt.Sprintf("they use %s more, and this host has %s idle: start them on another one; %s", analysis.Cores(more), analysis.Cores(idle), risk)
	}
	return risk
}

// downstream recommends no consumers: more of them did not help.
func (q *queue) downstream(u *upstream) analysis.Recommendation {
	shared := "a database, a lock, a CPU, another service"
	if u != nil {
		shared = "most of the time it is " + u.name
	}
	return analysis.Recommendation{
		Verb:   analysis.ScaleDownstream,
		Action: fmt.Sprintf("Find what the consumers of %s share and wait for (%s), and scale that: more consumers do not raise the rate", q.name, shared),
		Verify: "headroom.queue.acknowledged grows with the number of consumers",
		Risk:   "more consumers make what they share slower",
		NotIf:  "the new consumers were still starting in this window",
	}
}

// unserved reports whether messages arrive and no one consumes them, and no one removes
// them either. Queues of dead letters are like that by design.
func (q *queue) unserved() bool {
	return q.largest == 0 && q.always && q.ready > 0 && q.arrivals.mean > 0 && q.done.mean == 0 && q.grows() && !parked(q.name)
}

// parked reports whether the name of a queue says that messages are put aside in it.
func parked(name string) bool {
	name = strings.ToLower(name)
	for _, word := range []string{"dead", "dlq", "dlx", "error", "fail", "poison", "park", "reject", "retry", "delay", "wait", "unrouted", "audit"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

func (q *queue) noConsumers(p *facts.Pass) analysis.Finding {
	return analysis.Finding{
		Cause: noConsumers, Severity: analysis.Warning, Confidence: counted, Impact: 1, Subject: q.id,
		Summary:  fmt.Sprintf("Nothing consumes the messages of %s: %s arrive per second, %.0f wait", q.name, number(q.arrivals.mean), q.ready),
		Evidence: q.evidence(p),
		Recommendations: []analysis.Recommendation{{
			Verb:   analysis.AddWorkers,
			Action: fmt.Sprintf("Start the consumers of %s, or delete the binding that fills it", q.name),
			Verify: fmt.Sprintf("headroom.queue.consumers of %s is at least 1", q.name),
			Risk:   "the backlog is handled at once: what the consumers use gets all of it",
			NotIf:  "the consumers were stopped on purpose, or the queue is only read by hand",
		}},
	}
}

// poisoned reports whether the same messages are delivered again and again: more often
// than consumers that restart can have held messages.
func (q *queue) poisoned(p *facts.Pass) bool {
	again := q.redelivered * p.Seconds
	return q.delivered > 0 && q.redelivered/q.delivered >= p.Param(repeated) && q.repeats >= most &&
		again > 2*max(q.held, q.mostHeld, leastRepeats)
}

// leastRepeats is the number of redeliveries in a window below which they are not
// reported.
const leastRepeats = 10

func (q *queue) poison(p *facts.Pass) analysis.Finding {
	wasted := q.redelivered / q.delivered
	f := analysis.Finding{
		Cause: poisonMessages, Severity: analysis.Warning, Confidence: measured, Impact: min(1, wasted), Subject: q.id,
		Summary: fmt.Sprintf("Consumers of %s handle the same messages again and again: %s of %s deliveries per second repeat an earlier one (%s), %s are acknowledged",
			q.name, number(q.redelivered), number(q.delivered), analysis.Percent(wasted), number(q.done.mean)),
		Evidence: append(q.evidence(p), analysis.Evidence{Metric: catalog.QueueRedelivered, Label: "share of deliveries", Value: wasted,
			Unit: observe.Ratio, Bound: analysis.Bound(p.Param(repeated))}),
		Recommendations: []analysis.Recommendation{{
			Verb:   analysis.DeadLetter,
			Action: fmt.Sprintf("Move messages of %s that fail to a dead-letter queue after a few attempts (reject without requeue, or a quorum queue with a delivery limit)", q.name),
			Verify: fmt.Sprintf("headroom.queue.redelivered of %s stops growing", q.name),
			Risk:   "messages in the dead-letter queue need someone to look at them",
			NotIf:  "consumers lose their connection over and over: then find out why",
		}},
	}
	return f
}

// hoarded reports whether one consumer holds what others could handle: it is the only
// busy one at every reading, and its messages wait in it.
func (q *queue) hoarded(p *facts.Pass) bool {
	return q.busyKnown && q.consumers >= 2 && q.busiest == 1 && q.done.mean > 0 && q.ready < q.mostHeld && q.mostHeld/q.done.mean >= p.Param(hoardWait)
}

// buffered is the work that a consumer may hold, in seconds: enough to hide the way to
// the broker and back, and too little to keep from others.
const buffered = 0.1

func (q *queue) hoard(p *facts.Pass) analysis.Finding {
	enough := max(2, math.Ceil(q.done.mean*buffered))
	limit := "without a limit"
	if q.prefetch > 0 {
		limit = fmt.Sprintf("with a prefetch of %.0f", q.prefetch)
	}
	return analysis.Finding{
		Cause: prefetch, Severity: analysis.Warning, Confidence: measured, Impact: (q.consumers - 1) / q.consumers, Subject: q.id,
		Summary: fmt.Sprintf("Messages in %s wait %s in one consumer, %s, while %s idle: it holds %.0f and handles %s per second",
			q.name, analysis.Seconds(q.mostHeld/q.done.mean), limit, analysis.Number(q.consumers-1, "other is", "others are"), q.mostHeld, number(q.done.mean)),
		Evidence: append(q.evidence(p), analysis.Evidence{Metric: catalog.QueueMostHeld, Label: "messages in one consumer", Value: q.mostHeld, Unit: observe.Count}),
		Recommendations: []analysis.Recommendation{{
			Verb:     analysis.ChangePrefetch,
			Quantity: &analysis.Estimate{Value: enough, Unit: "messages"},
			Action:   fmt.Sprintf("Set the prefetch of the consumers of %s to %.0f (basic.qos)", q.name, enough),
			Verify:   fmt.Sprintf("headroom.queue.consumers.busy of %s is the number of its consumers", q.name),
			Risk:     "a consumer that is far from the broker waits for its next message",
			NotIf:    "the consumer needs many messages at once, as for writing in bulk",
		}},
	}
}
