// SPDX-License-Identifier: Apache-2.0

package acceptqueueoverflow

import (
	"math"
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/capacity"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// A view is a listener that dropped connections, and how who accepts from it
// was occupied.
type view struct {
	listener, process observe.ID
	// drops is their number, worst the most in one second.
	drops, worst float64
	// dropping is the share of the readings between which some were dropped.
	dropping float64
	// queue is the highest number that waited at a reading; backlog how many
	// can, 0 when not known; full the share of the readings with no room.
	queue, backlog, full float64
	// somaxconn is to what the network namespace cuts a backlog, 0 when not known.
	somaxconn float64
	// loop accepts, nil if the process has none that is its own; lags are its.
	loop *facts.LoopView
	lags capacity.Lags
	// hot is the CPU of the process's busiest thread, in cores; waited and
	// stopped are the shares of the window in which its threads waited for a
	// CPU or were stopped by a quota.
	hot, waited, stopped float64
	// starved says that it had no file descriptor for a connection.
	starved bool
}

func look(p *facts.Pass, listener observe.ID, drops float64) view {
	v := view{listener: listener, process: observe.None, drops: drops}
	v.readDrops(p)
	v.readQueue(p)
	process, ok := p.Index.Ancestor(listener, observe.Process)
	if !ok {
		return v
	}
	v.process = process
	v.readLoop(p)
	v.readThreads(p)
	if d, known := p.Descriptors(process); known {
		v.starved = d.Exhausted()
	}
	return v
}

func (v *view) readDrops(p *facts.Pass) {
	rates := p.Series(catalog.ListenerDrops, v.listener)
	some := 0.0
	for _, rate := range rates {
		v.worst = max(v.worst, rate)
		if rate > 0 {
			some++
		}
	}
	if len(rates) == 0 {
		v.worst = v.drops
	}
	v.dropping = max(some, 1) / float64(max(1, len(rates)))
}

func (v *view) readQueue(p *facts.Pass) {
	v.backlog, _ = p.Last(catalog.ListenerBacklog, v.listener)
	v.somaxconn, _ = p.Last(catalog.ListenerSomaxconn, v.listener)
	_, v.queue, _ = p.Range(catalog.ListenerQueue, v.listener)
	readings := p.Series(catalog.ListenerQueue, v.listener)
	full := 0.0
	for _, n := range readings {
		if v.backlog > 0 && n >= v.backlog {
			full++
		}
	}
	v.full = full / float64(max(1, len(readings)))
}

// readLoop finds the event loop that accepts: the process's own, else the one
// of its service that was latest. Workers accept from their master's socket.
func (v *view) readLoop(p *facts.Pass) {
	for _, l := range p.Loops() {
		own := l.Process == v.process
		if !own && p.Owner(l.Process) != p.Owner(v.process) {
			continue
		}
		lags := capacity.LagsOf(l.Lag.Count, l.Lag.Sum).With(l.Current)
		if v.loop == nil || own && v.loop.Process != v.process || lags.Mean(l.Seconds) > v.lags.Mean(l.Seconds) && own == (v.loop.Process == v.process) {
			v.loop, v.lags = l, lags
		}
	}
}

func (v *view) readThreads(p *facts.Pass) {
	for thread := range p.Entities(catalog.ThreadCPU) {
		if process, ok := p.Index.Ancestor(thread, observe.Process); ok && process == v.process {
			rate, _ := p.Rate(catalog.ThreadCPU, thread)
			v.hot = max(v.hot, rate)
		}
	}
	for cgroup := range p.Cgroups(v.process) {
		if q, ok := p.Quota(cgroup); ok {
			v.stopped = max(v.stopped, min(1, q.Throttled/max(1, min(q.Threads, p.CPUs()))))
		}
	}
	waited, _ := p.Rate(catalog.ProcessRunQueue, v.process)
	v.waited = max(0, min(1, waited)-v.stopped) // the kernel counts both as waiting
}

// late reports whether connections were dropped because the server came too
// late for them, rather than because they came all at once.
func (v *view) late(p *facts.Pass) bool {
	return v.starved || v.full >= p.Param(stuckShare) || v.loopIsLate(p) ||
		v.loop == nil && (v.hot >= p.Param(hotThread) || v.stopped+v.waited >= p.Param(stuckShare))
}

func (v *view) loopIsLate(p *facts.Pass) bool {
	return v.loop != nil && (v.p99() > p.Param(lateLag) || v.loop.Busy >= p.Param(fullLoop) && v.loopIsSlow())
}

func (v *view) p99() float64 { return v.lags.Quantile(v.loop.Seconds, 0.99) }

// loopIsSlow reports whether a full loop delays requests by more than a healthy one
// does (the threshold of event-loop-saturated).
func (v *view) loopIsSlow() bool {
	const slowMean = 0.010
	return v.lags.Mean(v.loop.Seconds) > slowMean
}

// lost says what kept the server from accepting, in seconds, by the analyzer
// that would have found it.
func (v *view) lost(p *facts.Pass) (lost map[string]float64, total float64) {
	switch {
	case v.starved:
		return map[string]float64{noDescriptors: p.Seconds}, p.Seconds
	case v.loopIsLate(p):
		return v.lostByLoop(p)
	case v.loop != nil:
		return nil, 0 // in time, and the queue full all the same: it does not accept
	}
	lost = map[string]float64{throttled: v.stopped * p.Seconds, runQueue: v.waited * p.Seconds}
	total = max(v.full, v.dropping) * p.Seconds
	if v.hot >= p.Param(hotThread) {
		lost[oneThread] = total
	}
	return lost, total
}

// lostByLoop: while a loop is in a tick it accepts nothing. What made the tick
// long is what event-loop-blocked is a symptom of.
func (v *view) lostByLoop(p *facts.Pass) (map[string]float64, float64) {
	long := v.loop.Long.Total()
	if v.p99() <= p.Param(lateLag) || long <= 0 {
		busy := v.loop.Busy * v.loop.Seconds
		return map[string]float64{loopSaturated: busy, throttled: v.loop.Long.Throttled, runQueue: v.loop.Long.RunQueue}, busy
	}
	return map[string]float64{loopBlocked: long, loopSaturated: long, throttled: v.loop.Long.Throttled, runQueue: v.loop.Long.RunQueue}, long
}

// stands reports whether the queue would overflow without what these causes
// took. A loop in time still accepts only once a tick: what comes within one
// must have room.
func (v *view) stands(causes []string) bool {
	if v.loop == nil || v.starved {
		return false
	}
	longest := facts.LongTick
	if !slices.Contains(causes, loopBlocked) && !slices.Contains(causes, loopSaturated) {
		long, left := v.loop.Long.Total(), v.loop.Long.Total()
		for _, c := range causes {
			switch c {
			case throttled:
				left -= v.loop.Long.Throttled
			case runQueue:
				left -= v.loop.Long.RunQueue
			}
		}
		longest = v.lags.Longest() * left / max(long, left)
	}
	return v.offered()*longest > v.backlog+1
}

// offered is the most connections that came within a second: those that were
// dropped, tried again ones included, and those that had filled the queue.
func (v *view) offered() float64 { return v.worst + v.backlog + 1 }

// enough is the backlog that holds what arrives while the server does not accept, with half
// as much again (⌈1.5·λ·lag p99.9⌉: docs/science.md, Descriptors), and no less than twice
// what was seen to wait. Readings are a second apart, so that a burst may have
// come within a moment of it: a lag below a second counts as one.
func (v *view) enough() (value, low float64) {
	const room, reading = 1.5, 1.0
	lag := reading
	if v.loop != nil {
		lag = max(reading, v.lags.Quantile(v.loop.Seconds, 0.999))
	}
	low = max(2*v.queue, v.backlog+1)
	return max(low, math.Ceil(room*v.offered()*lag)), low
}

// confidence is in the cause; the drops are counted.
func (v *view) confidence(cause string) float64 {
	const seen, explained, burst, guessed = 0.95, 0.9, 0.85, 0.7
	switch {
	case cause == slowAccept && (v.loop != nil || v.starved):
		return seen
	case cause == slowAccept:
		return explained
	case v.loop != nil:
		return explained
	case v.queue >= v.backlog:
		return burst
	}
	return guessed // in between two readings
}
