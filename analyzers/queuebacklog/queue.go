// SPDX-License-Identifier: Apache-2.0

package queuebacklog

import (
	"math"
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/capacity"
	"github.com/headroom-project/headroom/analyzers/facts"
)

const (
	// leastReadings is the number of readings of a window from which the increase of
	// counters says something, and leastRates from which rates have an interval.
	leastReadings, leastRates = 2, 3
	// most is the share of readings in which a condition must hold to be one of the whole
	// window.
	most = 0.8
	// z95 bounds 95 % of a normal distribution.
	z95 = 1.96
)

// A rate is a flow per second, with the interval that its readings give.
type rate struct{ mean, low, high float64 }

// A queue is what the window has about one queue.
type queue struct {
	id   observe.ID
	name string
	// ready and held are the messages that wait and that consumers hold, at the end.
	// always is set if some waited through the whole window.
	ready, held float64
	always      bool
	mostHeld    float64 // by one consumer, on average
	// arrivals and done are messages per second; growth is their difference, reading by
	// reading.
	arrivals, done, growth rate
	// growing is the share of readings with more arrivals than messages done.
	growing                float64
	delivered, redelivered float64 // per second
	repeats                float64 // the share of readings with redeliveries
	// consumers is their number at the end, and largest the largest number in the window.
	consumers, largest float64
	// levels and rates are the number of consumers and the messages done per second, reading
	// by reading.
	levels, rates []float64
	// busy is the share of consumers that hold a message, averaged over the readings with
	// their current number, and busiest the largest number of them. busyKnown is set if the
	// broker reports it.
	busy, busiest float64
	busyKnown     bool
	prefetch      float64  // 0 for no limit, -1 if not known
	workers       *workers // nil if not known
}

// look collects what the window has about a queue. ok is false if there are too few
// readings for rates.
func look(p *facts.Pass, id observe.ID) (q *queue, ok bool) {
	q = &queue{id: id, name: p.Name(id), prefetch: -1}
	done := p.Points(catalog.QueueAcknowledged, id)
	arrived := p.Points(catalog.QueuePublished, id)
	consumers := p.Points(catalog.QueueConsumers, id)
	n := min(len(done), len(arrived), len(consumers))
	if n < leastReadings {
		return nil, false
	}
	q.ready, _ = p.Last(catalog.QueueReady, id)
	q.always = share(p.Series(catalog.QueueReady, id), func(v float64) bool { return v > 0 }) >= most
	q.held, _ = p.Last(catalog.QueueUnacknowledged, id)
	q.consumers, _ = p.Last(catalog.QueueConsumers, id)
	_, q.largest, _ = p.Range(catalog.QueueConsumers, id)
	q.delivered, _ = p.Rate(catalog.QueueDelivered, id)
	q.redelivered, _ = p.Rate(catalog.QueueRedelivered, id)
	q.repeats = share(p.Series(catalog.QueueRedelivered, id), func(v float64) bool { return v > 0 })
	if v, known := p.Last(catalog.QueuePrefetch, id); known {
		q.prefetch = v
	}
	q.levels, q.rates = last(consumers, n), last(done, n)
	q.flows(last(arrived, n))
	q.use(last(p.Points(catalog.QueueBusyConsumers, id), q.current()), last(p.Points(catalog.QueueMostHeld, id), q.current()))
	q.employ(p)
	return q, true
}

// current returns the number of readings, at the end of the window, with the current
// number of consumers; that of all readings if it is too new for rates.
func (q *queue) current() int {
	n := 0
	for n < len(q.levels) && q.levels[len(q.levels)-1-n] == q.consumers {
		n++
	}
	if n < leastRates {
		return len(q.levels)
	}
	return n
}

// flows sets the rates with the current number of consumers. All counters of a queue are
// read at the same times.
func (q *queue) flows(arrived []float64) {
	n := q.current()
	a, d := arrived[len(arrived)-n:], q.rates[len(q.rates)-n:]
	var more []float64
	for i := range a {
		more = append(more, a[i]-d[i])
	}
	q.arrivals, q.done, q.growth = rateOf(a), rateOf(d), rateOf(more)
	q.growing = share(more, func(v float64) bool { return v > 0 })
}

// use sets how many consumers are busy, and how many messages one of them holds.
func (q *queue) use(busy, held []float64) {
	q.mostHeld = mean(held)
	if q.busyKnown = len(busy) > 0 && q.consumers > 0; q.busyKnown {
		q.busiest, q.busy = slices.Max(busy), mean(busy)/q.consumers
	}
}

// last returns the last n values, or all if there are fewer.
func last(points []observe.Point, n int) []float64 {
	_, v := analysis.Split(points)
	return v[max(0, len(v)-n):]
}

// rateOf returns the mean of the readings and its 95 % interval.
func rateOf(v []float64) rate {
	m := mean(v)
	squares := 0.0
	for _, x := range v {
		squares += (x - m) * (x - m)
	}
	n := float64(len(v))
	e := z95 * math.Sqrt(squares/max(1, n-1)/n)
	return rate{m, m - e, m + e}
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / max(1, float64(len(v)))
}

func share(v []float64, is func(float64) bool) float64 {
	n := 0.0
	for _, x := range v {
		if is(x) {
			n++
		}
	}
	return n / max(1, float64(len(v)))
}

// wait is how long a message that arrives now waits, in seconds.
func (q *queue) wait() float64 {
	if q.done.mean <= 0 {
		return math.Inf(1)
	}
	return q.ready / q.done.mean
}

// drains is how long the backlog lasts at the current rates, in seconds.
func (q *queue) drains() float64 {
	switch {
	case q.ready <= 0:
		return 0
	case q.growth.mean >= 0:
		return math.Inf(1)
	}
	return -q.ready / q.growth.mean
}

// leastGrowth is the share of the arrivals by which a queue must grow to be one that
// grows: less is the noise of the readings.
const leastGrowth = 0.02

// grows reports whether more arrived than was done through the whole window.
func (q *queue) grows() bool {
	return q.growing >= most && q.growth.low > 0 && q.growth.mean >= leastGrowth*q.arrivals.mean
}

// shrinks reports whether the backlog fell.
func (q *queue) shrinks() bool { return q.growth.high < 0 }

// behind reports whether messages wait that the consumers will not handle in time. A fill
// that drains in time is planned work.
func (q *queue) behind(p *facts.Pass) bool {
	if !q.always || q.consumers == 0 || q.done.mean <= 0 || len(q.rates) < leastRates {
		return false
	}
	switch {
	case q.grows():
		return q.wait() >= p.Param(leastWait)
	case q.shrinks() && q.drains() <= p.Param(drainWithin):
		return false
	}
	return q.wait() >= p.Param(warnWait)
}

// load is the work of the queue. While messages wait all the time, each worker is busy
// all the time, so that it takes the number of workers divided by the rate for one
// message, however many it holds (Little's law without the messages that only wait in its
// prefetch buffer).
func (q *queue) load() capacity.Queue {
	return capacity.Queue{Arrivals: q.arrivals.mean, Service: q.servers() / q.done.mean, Variability: 1}
}

// needed returns how many workers are enough for the arrivals, and how many also empty
// the backlog in time, for given rates.
func (q *queue) needed(p *facts.Pass, arrivals, done float64) (steady, drain float64) {
	l := capacity.Queue{Arrivals: max(0, arrivals), Service: q.servers() / done, Variability: 1}
	steady = float64(l.Workers(p.Param(maxUse), p.Param(warnWait), waitQuantile))
	return steady, max(steady, float64(l.WorkersToDrain(q.ready, p.Param(drainWithin), p.Param(maxUse))))
}

// waitQuantile is the share of messages that must wait for less than warn-wait.
const waitQuantile = 0.95

// scaled returns the elasticity of the throughput, with the number of consumers and the
// rate before and after, if that number changed in the window and messages waited all the
// time. Levels lag behind counters by up to two readings: medians leave these out.
func (q *queue) scaled() (before, after scale, e float64, ok bool) {
	const change = 1.25 // the least factor between the two numbers
	byLevel := make(map[float64][]float64)
	for i, c := range q.levels {
		byLevel[c] = append(byLevel[c], q.rates[i])
	}
	now := q.consumers
	from := 0.0
	for c, rates := range byLevel {
		if c > 0 && now >= change*c && len(rates) >= leastRates && c > from {
			from = c
		}
	}
	if !q.always || from == 0 || len(byLevel[now]) < leastRates {
		return before, after, 0, false
	}
	before, after = scale{from, median(byLevel[from])}, scale{now, median(byLevel[now])}
	e, ok = capacity.Elasticity(before.consumers, after.consumers, before.rate, after.rate)
	return before, after, e, ok
}

// A scale is a number of consumers and the rate at which they handle messages.
type scale struct{ consumers, rate float64 }

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
