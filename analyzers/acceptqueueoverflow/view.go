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

// A view is a listener that dropped connections, with the load of the process that
// accepts from it.
type view struct {
	listener, process observe.ID
	// drops is the number of dropped connections, worst the highest number in one
	// second.
	drops, worst float64
	// dropping is the share of the readings in which some were dropped.
	dropping float64
	// queue is the highest number of waiting connections at a reading; backlog is the
	// limit, 0 if not known; full is the share of the readings at the limit.
	queue, backlog, full float64
	// burst is the most connections that wanted to wait at a time, 0 if not known.
	burst float64
	// somaxconn is the network namespace's limit of backlogs, 0 if not known.
	somaxconn float64
	// loop is the loop that accepts, nil if the process has no loop of its own; lags
	// are those of the loop.
	loop *facts.LoopView
	lags capacity.Lags
	// hot is the CPU usage of the process's busiest thread, in cores; waited and
	// stopped are the shares of the window in which its threads waited for a CPU or
	// were throttled by a quota.
	hot, waited, stopped float64
	// starved is set if it had no file descriptor for a connection.
	starved bool
	// pool is set if workers that serve one connection at a time accept from it, and all
	// of them were busy while connections waited.
	pool bool
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
	s := p.SyncPoolOf(listener)
	if v.pool = s != nil && s.Full; s == nil {
		v.readLoop(p)
	}
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
	if _, burst, ok := p.Range(catalog.ListenerBurst, v.listener); ok && burst > v.backlog+1 {
		v.burst = burst
	}
	readings := p.Series(catalog.ListenerQueue, v.listener)
	full := 0.0
	for _, n := range readings {
		if v.backlog > 0 && n >= v.backlog {
			full++
		}
	}
	v.full = full / float64(max(1, len(readings)))
}

// readLoop finds the event loop that accepts: the process's own, otherwise the loop
// of its service with the highest lag. Workers accept from the socket of their
// master.
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
			v.stopped = max(v.stopped, q.Window(p.CPUs()))
		}
	}
	waited, _ := p.Rate(catalog.ProcessRunQueue, v.process)
	v.waited = max(0, min(1, waited)-v.stopped) // the kernel counts both as waiting
}

// late reports whether connections were dropped because the server accepted too
// late, and not because they arrived all at once.
func (v *view) late(p *facts.Pass) bool {
	return v.starved || v.full >= p.Param(stuckShare) || v.loopIsLate(p) ||
		v.loop == nil && (v.hot >= p.Param(hotThread) || v.stopped+v.waited >= p.Param(stuckShare))
}

func (v *view) loopIsLate(p *facts.Pass) bool {
	return v.loop != nil && (v.p99() > p.Param(lateLag) || v.loop.Busy >= p.Param(fullLoop) && v.loopIsSlow())
}

func (v *view) p99() float64 { return v.lags.Quantile(v.loop.Seconds, 0.99) }

// loopIsSlow reports whether a full loop delays requests by more than the threshold
// of event-loop-saturated.
func (v *view) loopIsSlow() bool {
	const slowMean = 0.010
	return v.lags.Mean(v.loop.Seconds) > slowMean
}

// lost returns the time, in seconds, that kept the server from accepting, by the
// analyzer that reports the cause.
func (v *view) lost(p *facts.Pass) (lost map[string]float64, total float64) {
	switch {
	case v.starved:
		return map[string]float64{noDescriptors: p.Seconds}, p.Seconds
	case v.pool:
		return map[string]float64{queueBacklog: p.Seconds}, p.Seconds
	case v.loopIsLate(p):
		return v.lostByLoop(p)
	case v.loop != nil:
		return nil, 0 // the loop is in time and the queue full anyway: the server does not accept
	}
	lost = map[string]float64{throttled: v.stopped * p.Seconds, runQueue: v.waited * p.Seconds}
	total = max(v.full, v.dropping) * p.Seconds
	if v.hot >= p.Param(hotThread) {
		lost[oneThread] = total
	}
	return lost, total
}

// lostByLoop attributes the time to the loop: it does not accept while it is in a
// tick. The cause of a long tick is the cause of event-loop-blocked.
func (v *view) lostByLoop(p *facts.Pass) (map[string]float64, float64) {
	long := v.loop.Long.Total()
	if v.p99() <= p.Param(lateLag) || long <= 0 {
		busy := v.loop.Busy * v.loop.Seconds
		return map[string]float64{loopSaturated: busy, throttled: v.loop.Long.Throttled, runQueue: v.loop.Long.RunQueue}, busy
	}
	return map[string]float64{loopBlocked: long, loopSaturated: long, throttled: v.loop.Long.Throttled, runQueue: v.loop.Long.RunQueue}, long
}

// stands reports whether the queue would overflow without the time that these
// causes took. A loop that is in time still accepts only once per tick: the queue
// must hold all connections that arrive in a tick.
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

// offered is the highest number of connections that arrived within a second: those
// that were dropped, including retries, and those that had filled the queue.
func (v *view) offered() float64 { return v.worst + v.backlog + 1 }

// enough returns the backlog that holds the connections that wanted to wait at a time,
// plus a quarter. If that is not known, it is the connections that arrive while the server
// does not accept, plus half (⌈1.5·λ·lag p99.9⌉: docs/science.md, Descriptors), and at
// least twice the number seen waiting: readings are a second apart, and a burst may have
// arrived within a moment of it, so that a lag below a second counts as one second.
func (v *view) enough() (value, low float64) {
	const counted, room, reading = 1.25, 1.5, 1.0
	if v.burst > 0 {
		return math.Ceil(counted * v.burst), v.burst
	}
	lag := reading
	if v.loop != nil {
		lag = max(reading, v.lags.Quantile(v.loop.Seconds, 0.999))
	}
	low = max(2*v.queue, v.backlog+1)
	return max(low, math.Ceil(room*v.offered()*lag)), low
}

// confidence returns the confidence in the cause; the drops are counted.
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
	return guessed // between two readings
}
