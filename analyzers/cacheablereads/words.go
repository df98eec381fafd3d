// SPDX-License-Identifier: Apache-2.0

package cacheablereads

import (
	"fmt"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

func (v *view) finding(p *facts.Pass, a advice) analysis.Finding {
	return analysis.Finding{
		Cause: repeated, Severity: v.severity(p, a), Confidence: v.confidence(a), Impact: v.impact(a), Subject: v.process,
		Summary: v.summary(a), Evidence: v.evidence(p, a), Recommendations: []analysis.Recommendation{v.advice(p, a)},
	}
}

// half is the share of the time of requests from which their reads are why they are slow.
const half = 0.5

func (v *view) severity(p *facts.Pass, a advice) analysis.Severity {
	if each := v.each(a.saved); each >= p.Param(warningTime) && each >= half*v.request {
		return analysis.Warning
	}
	return analysis.Info
}

// Confidences: docs/science.md. With few reads, the hours of a day are not known.
const (
	leastSure = 0.5
	mostSure  = 0.9
	sureOfFew = 0.7
	wide      = 0.3 // an interval that leaves only leastSure
	manyReads = 10_000
)

func (v *view) confidence(a advice) float64 {
	sure := leastSure + (mostSure-leastSure)*max(0, 1-(a.high-a.low)/wide)
	if v.followed < manyReads {
		sure = min(sure, sureOfFew)
	}
	return sure
}

// impact is the share of the time of requests that is saved; without requests, of the
// time of the calls.
func (v *view) impact(a advice) float64 {
	if v.answers > 0 {
		return min(1, v.each(a.saved)/v.request)
	}
	return a.saved / v.callTime
}

// memory is that of a cache, in bytes.
func (v *view) memory(s size) float64 { return s.answers * (v.size + overhead) }

// read and after are the mean times of a read, in seconds: now, and with the cache.
func (v *view) read() float64 { return v.time / v.reads }

func (v *view) after(a advice) float64 { return max(0, v.time-a.saved) / v.reads }

func (v *view) summary(a advice) string {
	text := fmt.Sprintf("%s of the %.0f reads per second of %s from PostgreSQL (%s) ask the same as an earlier one: a cache of %.0f answers (%s) has %s of them, and a read takes %s instead of %s on average",
		analysis.Percent((v.fresh+v.stale)/v.followed), v.reads/v.seconds, v.name, v.address, a.size.answers, analysis.Bytes(v.memory(a.size)),
		analysis.Percent(a.size.hit), analysis.Seconds(v.after(a)), analysis.Seconds(v.read()))
	if v.answers > 0 {
		text += fmt.Sprintf("; requests take %s less of %s", analysis.Seconds(v.each(a.saved)), analysis.Seconds(v.request))
	}
	return text
}

func (v *view) evidence(p *facts.Pass, a advice) []analysis.Evidence {
	e := []analysis.Evidence{
		{Metric: catalog.ReadCalls, Label: "per second", Value: v.reads / v.seconds, Unit: observe.Count},
		{Metric: catalog.ReadTime, Label: "mean", Value: v.read(), Unit: observe.Seconds, Bound: analysis.Bound(p.Param(leastCall))},
		{Metric: catalog.ReadTime, Label: "share of the time of all calls", Value: v.time / max(v.time, v.callTime), Unit: observe.Ratio},
		{Metric: catalog.ReadFresh, Label: "share that repeats with no write in between", Value: v.fresh / v.followed, Unit: observe.Ratio},
		{Metric: catalog.ReadStale, Label: "share that repeats after a write", Value: v.stale / v.followed, Unit: observe.Ratio},
		{Metric: catalog.ReadReuse, Label: "hit ratio with the recommended cache, at least", Value: a.low, Unit: observe.Ratio, Bound: analysis.Bound(p.Param(leastHit))},
		{Metric: catalog.ReadTime, Label: "time that is saved, per second", Value: a.saved / v.seconds, Unit: observe.Ratio, Bound: analysis.Bound(p.Param(leastBusy))},
		{Metric: catalog.ReadBytes, Label: "an answer, mean", Value: v.size, Unit: observe.Bytes},
		{Metric: catalog.ReadReuse, Label: "answers at the knee of the curve", Value: a.knee.answers, Unit: observe.Count},
	}
	for i, share := range shares {
		e = append(e, analysis.Evidence{Metric: catalog.ReadReuse, Label: fmt.Sprintf("answers for %s of the hits that can be had", analysis.Percent(share)),
			Value: a.sizes[i].answers, Unit: observe.Count})
	}
	if age, ok := v.age(p); ok {
		e = append(e, analysis.Evidence{Metric: catalog.RepeatInterval, Label: "90% of the repeats come within", Value: age, Unit: observe.Seconds})
	}
	if n := p.IncreaseOr0(catalog.WriteCalls, v.id); n > 0 {
		e = append(e, analysis.Evidence{Metric: catalog.WriteCalls, Label: "mean time between writes", Value: v.seconds / n, Unit: observe.Seconds})
	}
	return e
}

// age is how old answers must be allowed to be for nine in ten of the hits, in seconds.
func (v *view) age(p *facts.Pass) (seconds float64, ok bool) {
	h, ok := p.Hist(catalog.RepeatInterval, v.id)
	const most = 0.9
	return h.Quantile(most), ok
}

func (v *view) advice(p *facts.Pass, a advice) analysis.Recommendation {
	s := a.size
	perSecond := v.reads / v.seconds
	r := analysis.Recommendation{
		Verb: analysis.AddCache,
		Quantity: &analysis.Estimate{Value: s.answers, Low: analysis.Bound(a.sizes[0].answers),
			High: analysis.Bound(max(s.answers, a.sizes[len(a.sizes)-1].answers)), Unit: "answers"},
		Action: fmt.Sprintf("Keep the answers of these reads of %s in a cache of %.0f entries (%s) that evicts the least recently used one, in the process or in Redis. %s. pg_stat_statements shows the queries: ORDER BY total_exec_time DESC",
			v.name, s.answers, analysis.Bytes(v.memory(s)), v.freshness(p)),
		Verify: fmt.Sprintf("after %s, the hit ratio of the cache is between %s and %s", analysis.Ahead(v.fill(s)), analysis.Percent(a.low), analysis.Percent(a.high)),
		Risk:   "answers can be older than the database, and a cache that is restarted is empty: all reads go to the database until it is full again",
		NotIf:  "answers depend on more than the statement and its values (settings of the session, row-level security), or what they read is written by other hosts, functions or triggers",
		Expect: []analysis.Expectation{
			{Metric: catalog.ReadCalls, Label: "per second", From: perSecond, To: perSecond * (1 - s.hit), Low: analysis.Bound(perSecond * (1 - a.high)),
				High: analysis.Bound(perSecond * (1 - a.low)), Unit: observe.Count},
			{Metric: catalog.ReadTime, Label: "mean, with hits", From: v.read(), To: v.after(a), Unit: observe.Seconds},
			{Metric: catalog.CallDuration, Label: "calls in flight, mean", From: v.callTime / v.seconds, To: max(0, v.callTime-a.saved) / v.seconds, Unit: observe.Count},
		},
	}
	if v.answers > 0 {
		r.Expect = append(r.Expect, analysis.Expectation{Metric: catalog.RequestDuration, Label: "mean", From: v.request, To: max(0, v.request-v.each(a.saved)), Unit: observe.Seconds})
	}
	return r
}

// fill is the time for which misses fill the cache, in seconds.
func (v *view) fill(s size) float64 {
	return s.answers / max(1, v.reads/v.seconds*(1-s.hit/2))
}

// freshness says how old answers may be.
func (v *view) freshness(p *facts.Pass) string {
	age, _ := v.age(p)
	writes := p.IncreaseOr0(catalog.WriteCalls, v.id)
	keep := fmt.Sprintf("Keep an answer for %s, within which 90%% of the repeats come", analysis.Seconds(age))
	if writes == 0 {
		return keep + "; no write of this service was seen"
	}
	return fmt.Sprintf("Drop the answers from a table when it is written (every %s), or k%s", analysis.Seconds(v.seconds/writes), keep[1:])
}
