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

// A pool is synchronous workers behind a listener: its accept queue is the queue, and the
// connections that they can serve at a time are the consumers.
type pool struct {
	*facts.SyncPool
	queue
	answers float64 // in the readings that count
	// steady is set if the queue is as long at all readings: as many clients as wait have
	// one request each.
	steady bool
	// blind is how long no connection was accepted that arrived in the window, if that left
	// too few answers to count: those that waited before are not seen by the probe of
	// requests. It is 0 if there are enough.
	blind   float64
	dropped float64 // connections per second, by a full accept queue
	use     float64 // cores of all workers
	idle    float64 // cores that they could use in addition
	known   bool    // whether idle is
	// upstream is the PostgreSQL on this host that the workers call, without a name if they
	// call none.
	upstream upstream
}

// leastStep is the shortest time between two readings, in seconds.
const leastStep = 0.1

// fewestAnswers is the number of answers from which their rate says how long one takes.
const fewestAnswers = 10

// lookPool collects what the window has about a pool. ok is false if its queue was empty
// at some of the readings, if a worker had nothing to do, or if there are too few readings
// or answers for rates.
func lookPool(p *facts.Pass, s *facts.SyncPool) (w *pool, ok bool) {
	points := p.Points(catalog.ListenerQueue, s.Listener)
	if !s.Full {
		return nil, false
	}
	w = &pool{SyncPool: s, queue: queue{id: s.Listener, name: p.Address(s.Listener), always: true}}
	w.consumers = float64(len(s.Workers)) * s.Each
	w.measureCPU(p)
	w.measureUpstream(p)
	first := firstAnswer(p, s.Served)
	from := max(first, youngest(p, s.Workers))
	var done, growth []float64
	for i := 1; i < len(points); i++ {
		before, now := points[i-1], points[i]
		growth = append(growth, (now.Value-before.Value)/max(now.At-before.At, leastStep))
		if before.At < from {
			continue
		}
		done = append(done, answeredBetween(p, s.Served, before.At, now.At))
		w.answers += done[len(done)-1] * (now.At - before.At)
	}
	if len(done) < leastRates || w.answers < fewestAnswers {
		w.blind, w.ready = first, points[len(points)-1].Value
		return w, s.Server != "" && first > youngest(p, s.Workers) && p.Has(catalog.RequestArrivals)
	}
	w.done, w.growth, w.rates = rateOf(done), rateOf(growth), done
	w.arrivals = rate{w.done.mean + w.growth.mean, w.done.mean + w.growth.low, w.done.mean + w.growth.high}
	w.measureQueue(points)
	w.dropped = p.IncreaseOr0(catalog.ListenerDrops, s.Listener) / p.Seconds
	return w, true
}

// measureQueue sets how many connections wait: on average, or at the end if they become
// more.
func (w *pool) measureQueue(points []observe.Point) {
	_, lengths := analysis.Split(points)
	w.ready = mean(lengths)
	if w.grows() {
		w.ready = lengths[len(lengths)-1]
	}
	w.steady = slices.Max(lengths)-slices.Min(lengths) <= max(2, w.consumers)
}

// grows reports whether the accept queue is longer at the end than at the start by more
// than its steps up and down explain. Unlike the counters of a broker, its length at two
// readings differs in both directions, as connections arrive at random.
func (w *pool) grows() bool {
	return w.growth.low > 0 && w.growth.mean >= leastGrowth*w.arrivals.mean
}

// youngest returns when the last of the processes started, in seconds since the window
// began: rates of before are those of fewer workers.
func youngest(p *facts.Pass, processes []observe.ID) float64 {
	from := 0.0
	for _, process := range processes {
		if points := p.Points(catalog.ProcessCPU, process); len(points) > 0 {
			from = max(from, points[0].At)
		}
	}
	return from
}

// firstAnswer returns when the processes took the first connection whose requests are
// counted, or the end of the window. Those that waited when the probe started are not
// counted, and the kernel gives them to the workers first.
func firstAnswer(p *facts.Pass, processes []observe.ID) float64 {
	at := p.Seconds
	for _, process := range processes {
		for _, point := range p.Points(catalog.RequestArrivals, process) {
			if point.Value > 0 {
				at = min(at, point.At)
				break
			}
		}
	}
	return at
}

// answeredBetween returns how many requests the processes took per second between two
// readings. While all of them are busy that is how many they answered.
func answeredBetween(p *facts.Pass, processes []observe.ID, from, to float64) float64 {
	sum := 0.0
	for _, process := range processes {
		var steps []float64
		for _, point := range p.Points(catalog.RequestArrivals, process) {
			if point.At > from && point.At <= to {
				steps = append(steps, point.Value)
			}
		}
		sum += mean(steps)
	}
	return sum
}

func (w *pool) measureCPU(p *facts.Pass) {
	for _, worker := range w.Workers {
		use, _ := p.Rate(catalog.ProcessCPU, worker)
		w.use += use
	}
	w.idle, w.known = p.UsableIdle(w.Workers[0])
	for cgroup := range p.Cgroups(w.Workers[0]) {
		if q, ok := p.Quota(cgroup); ok && q.UseKnown {
			w.idle = min(w.idle, max(0, q.Limit-q.Use))
		}
	}
}

// measureUpstream sets how many workers wait for a PostgreSQL on this host, on average.
func (w *pool) measureUpstream(p *facts.Pass) {
	for client := range p.Entities(catalog.ClientUsedTime) {
		process, _ := p.Index.Ancestor(client, observe.Process)
		if !slices.Contains(w.Served, process) || p.Attr(client, catalog.AttrDatabase) != postgresql {
			continue
		}
		used, _ := p.Rate(catalog.ClientUsedTime, client)
		w.upstream.waiting += used
		if d, ok := p.DatabaseOf(client); ok && w.upstream.servers == nil {
			w.upstream.servers = d.Processes
		}
	}
	if w.upstream.servers == nil || w.upstream.waiting < leastWaiting*w.consumers {
		return
	}
	w.upstream.name = postgres
	for _, server := range w.upstream.servers {
		use, _ := p.Rate(catalog.ProcessCPU, server)
		w.upstream.cpu += use
	}
}

// postgresql is the name of the database in the conventions of OpenTelemetry.
const postgresql = "postgresql"

// late reports whether requests wait for a worker for longer than a short burst makes them.
func (w *pool) late(p *facts.Pass) bool {
	if w.blind > 0 {
		return w.blind >= p.Param(requestWait)
	}
	if !w.grows() && w.shrinks() && w.drains() <= p.Param(drainWithin) {
		return false
	}
	return w.wait() >= p.Param(requestWait)
}

// service is the time of one request, in seconds.
func (w *pool) service() float64 { return w.consumers / w.done.mean }

// enough returns the number of connections to serve at a time for given rates.
func (w *pool) enough(p *facts.Pass, arrivals, done float64) float64 {
	q := capacity.Queue{Arrivals: max(0, arrivals), Service: w.consumers / done, Variability: 1}
	return float64(max(q.Workers(p.Param(maxUse), p.Param(requestWait), waitQuantile),
		q.WorkersToDrain(w.ready, p.Param(drainWithin), p.Param(maxUse))))
}

// estimate returns the number to set, before limits of the CPU. Erlang's formula gives it
// for requests that arrive on their own. If the queue is as long all the time, its clients
// wait for their answers before they send more, and each has one request at most: with a
// worker for each, none waits.
func (w *pool) estimate(p *facts.Pass) *analysis.Estimate {
	more := w.consumers + w.Each
	low := max(more, w.enough(p, w.arrivals.low, w.done.high))
	switch {
	case w.dropped > 0:
		// Clients try again, so that they are fewer than the connections dropped.
		value := max(more, w.enough(p, w.arrivals.mean+w.dropped, w.done.mean))
		return &analysis.Estimate{Value: value, Low: analysis.Bound(min(low, value))}
	case w.steady:
		all := max(more, w.consumers+math.Ceil(w.ready))
		return bounded(all, low, all)
	}
	value := max(more, w.enough(p, w.arrivals.mean, w.done.mean))
	return bounded(value, low, w.enough(p, w.arrivals.high, max(w.done.low, w.done.mean/2)))
}

func bounded(value, low, high float64) *analysis.Estimate {
	return &analysis.Estimate{Value: value, Low: analysis.Bound(min(low, value)), High: analysis.Bound(max(high, value))}
}

// leastUse is the use of the CPUs, in cores, from which what each worker needs is known.
const leastUse = 0.1

// possible is the number of connections for which there is CPU time, if each needs as much
// as now.
func (w *pool) possible() float64 {
	if !w.known || w.use < leastUse {
		return math.Inf(1)
	}
	return math.Floor(w.consumers * (1 + w.idle/w.use))
}

// outOfCPU reports whether one more worker finds no CPU time.
func (w *pool) outOfCPU() bool { return w.possible() < w.consumers+1 }
