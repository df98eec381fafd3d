// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"slices"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// LongTick is the length in seconds from which a tick counts as long.
const LongTick = catalog.LongTick

// leastLag is the lowest p99 lag that a recommendation predicts: a tick that hands
// its work to another thread takes as long. A loop that is free for 99 % of the
// time has a p99 lag of 0 by the formula, but its clients do not see 0.
const leastLag = 0.001

// LagAfter returns the p99 lag to expect after a change, from the current lag and
// the result of the formula.
func LagAfter(now, left float64) float64 { return min(now, max(left, leastLag)) }

// A LoopView is one event loop over the window, including its tick in progress.
type LoopView struct {
	ID, Process observe.ID
	// Runtime is the runtime of the process: node, python, redis …, or "".
	Runtime string
	// Kind is the type of wait: epoll, poll, select, or "" if not known.
	Kind string
	// Audience is what waits for the loop. Serves is set if clients do, or if that is
	// not known; Listens is set only if it is known.
	Audience        Audience
	Serves, Listens bool
	// Seconds is the length of the window, for all shares.
	Seconds float64
	Ticks   float64
	// LongTicks and Long are the number of ticks longer than LongTick and their time
	// by part, including wake-up delays.
	LongTicks float64
	Long      observe.Parts
	// Stolen is the share of the long ticks' time on a CPU that the hypervisor took.
	// It is part of Long.RunQueue, and not of Long.CPU.
	Stolen float64
	// Busy is the share of the window spent in ticks: event loop utilisation.
	Busy float64
	// Spins is set for a loop that polls without waiting: it is always busy.
	Spins bool
	// Lag is the distribution of the lags of the ticks that ended.
	Lag observe.Hist
	// Current is the tick in progress, 0 if none is long; all values above except Lag
	// include it.
	Current        float64
	CurrentSyscall string
}

// runtimesWithOneLoop run their event loop on the main thread: another thread with
// epoll is a worker.
var runtimesWithOneLoop = []string{"node", "bun", "deno", "python"}

// goRuntime multiplexes goroutines over threads that all wait on one epoll.
const goRuntime = "go"

// Loops returns the event loops of the host, except those of M:N schedulers and of
// worker threads: no request waits for one of those.
func (p *Pass) Loops() []*LoopView {
	if p.memo.looked {
		return p.memo.loops
	}
	for _, id := range p.loopIDs() {
		if l := p.loop(id); l != nil && !p.answersElsewhere(l) {
			p.memo.loops = append(p.memo.loops, l)
		}
	}
	p.memo.looked = true
	return p.memo.loops
}

// fewAnswers is the number of answers from which some other thread gave them: a loop can
// give a few between the start of the probe and its hang.
const fewAnswers = 10

// answersElsewhere reports whether requests of the process were answered while this loop
// was in one tick for the whole window, and no other loop was seen: its thread only
// accepts connections, and other threads serve them.
func (p *Pass) answersElsewhere(l *LoopView) bool {
	h, ok := p.Hist(catalog.RequestDuration, l.Process)
	if !ok || l.Ticks > 0 || l.Current == 0 {
		return false
	}
	for id := range p.Entities(catalog.LoopTicks) {
		if process, _ := p.Index.Ancestor(id, observe.Process); process == l.Process && p.IncreaseOr0(catalog.LoopTicks, id) > 0 {
			return false
		}
	}
	answers, _ := h.Total()
	return answers >= fewAnswers
}

func (p *Pass) loopIDs() []observe.ID {
	ids := slices.Collect(p.Entities(catalog.LoopTicks))
	ids = slices.AppendSeq(ids, p.Entities(catalog.CurrentTick))
	slices.Sort(ids)
	return slices.Compact(ids)
}

func (p *Pass) loop(id observe.ID) *LoopView {
	process, ok := p.Index.Ancestor(id, observe.Process)
	if !ok || p.Seconds <= 0 || p.Attr(id, catalog.AttrLoopShared) == "true" {
		return nil
	}
	runtime := p.Attr(process, catalog.AttrRuntime)
	if runtime == goRuntime || slices.Contains(runtimesWithOneLoop, runtime) && !p.mainThread(id, process) {
		return nil
	}
	audience := p.AudienceOf(process)
	l := &LoopView{
		ID: id, Process: process, Runtime: runtime, Kind: p.Attr(id, catalog.AttrLoopKind),
		Audience: audience, Serves: audience == Clients || audience == UnknownAudience, Listens: audience == Clients,
		Seconds:   p.Seconds,
		Ticks:     p.IncreaseOr0(catalog.LoopTicks, id),
		LongTicks: p.IncreaseOr0(catalog.LongTicks, id),
		Long: observe.Parts{
			CPU:       p.IncreaseOr0(catalog.LongCPU, id),
			RunQueue:  p.IncreaseOr0(catalog.LongRunQueue, id),
			Throttled: p.IncreaseOr0(catalog.LongThrottled, id),
			Blocked:   p.IncreaseOr0(catalog.LongBlocked, id),
			PageFault: p.IncreaseOr0(catalog.LongPageFault, id),
		},
	}
	l.Lag, _ = p.Hist(catalog.LoopLag, id)
	p.addWakeUps(l)
	p.takeOutStolen(l)
	p.addCurrent(l)
	l.Busy = p.busyShare(l)
	l.Spins = l.Busy >= spinning && l.Busy*l.Seconds < emptyTick*l.Ticks
	return l
}

const (
	// spinning is the share of the window in ticks from which a loop counts as one
	// that never waits.
	spinning = 0.95
	// emptyTick is a mean tick, in seconds, that is too short for a request: reading
	// one and answering it are two system calls of several microseconds each.
	emptyTick = 5e-6
)

func (p *Pass) mainThread(loop, process observe.ID) bool {
	tid := p.Attr(loop, catalog.AttrTID)
	return tid == "" || tid == p.Attr(process, catalog.AttrPID)
}

// busyShare divides by the window, or by busy and wait if they are longer. A wait
// that has not ended is not counted yet, so dividing only by these two would make a
// sleeping loop a busy one.
func (p *Pass) busyShare(l *LoopView) float64 {
	current := min(l.Current, l.Seconds)
	busy := p.IncreaseOr0(catalog.LoopBusy, l.ID) + current
	return min(1, busy/max(l.Seconds, busy+p.IncreaseOr0(catalog.LoopWait, l.ID)))
}

// addWakeUps adds the delays between event and tick: lag that is not part of a
// tick. The thread was ready to run and had no CPU, or no quota.
func (p *Pass) addWakeUps(l *LoopView) {
	_, late := l.Lag.Above(LongTick)
	delay := max(0, late-l.Long.Total())
	throttled := min(delay, p.throttledWakeUps(l, delay))
	l.Long.Throttled += throttled
	l.Long.RunQueue += delay - throttled
}

// throttledWakeUps returns the part of the delays that throttling took. Delays below
// LongTick count too: they are short next to those of a quota, which last until its
// next period. A recording without this metric divides delays as the ticks are divided.
func (p *Pass) throttledWakeUps(l *LoopView, delay float64) float64 {
	if throttled, ok := p.Increase(catalog.LoopWakeThrottled, l.ID); ok {
		return throttled
	}
	queued := p.IncreaseOr0(catalog.LoopRunQueue, l.ID)
	throttled := p.IncreaseOr0(catalog.LoopThrottled, l.ID)
	if throttled <= 0 {
		return 0
	}
	return delay * throttled / (throttled + queued)
}

// noticedSteal is the steal time of a host from which it is considered in ticks:
// below it, the error from readings at different moments is as large.
const noticedSteal = 0.05

// takeOutStolen moves the part of the long ticks that the hypervisor took to the
// wait for a CPU. The probe measures a tick by a clock that continues while another
// guest runs. The kernel leaves that time out of the thread's CPU time
// (update_rq_clock_task in kernel/sched/core.c, CONFIG_PARAVIRT_TIME_ACCOUNTING).
func (p *Pass) takeOutStolen(l *LoopView) {
	steal := p.Steal()
	if steal < noticedSteal || l.Long.CPU <= 0 {
		return
	}
	thread, ok := p.Index.Find(observe.Entity{Kind: observe.Thread, ID: p.Index.Entity(l.ID).ID})
	if !ok {
		return
	}
	used, known := p.Increase(catalog.ThreadCPU, thread)
	stolen := min(p.IncreaseOr0(catalog.LoopCPU, l.ID)-used, steal*p.CPUs()*p.Seconds, l.Long.CPU)
	if !known || stolen <= 0 {
		return
	}
	l.Stolen = stolen / l.Long.CPU
	l.Long.CPU -= stolen
	l.Long.RunQueue += stolen
}

// addCurrent adds the tick in progress, so that a hang is visible while it lasts.
func (p *Pass) addCurrent(l *LoopView) {
	parts, ok := p.currentRecord(l)
	if !ok {
		parts, ok = p.currentGauge(l)
	}
	if !ok {
		return
	}
	l.LongTicks++
	l.Long.CPU += parts.CPU
	l.Long.RunQueue += parts.RunQueue
	l.Long.Throttled += parts.Throttled
	l.Long.Blocked += parts.Blocked
	l.Long.PageFault += parts.PageFault
}

// currentRecord returns the record of the tick in progress if it is from the last
// reading: the record of a tick that has ended since can be lost, and the tick is
// then in the counters.
func (p *Pass) currentRecord(l *LoopView) (observe.Parts, bool) {
	halfStep := p.Seconds / float64(max(1, p.Steps)) / 2
	for _, s := range p.StallsOf(l.ID) {
		until := s.Start.Add(time.Duration(s.Duration * float64(time.Second)))
		if s.InProgress && p.End.Sub(until).Seconds() < halfStep {
			l.Current, l.CurrentSyscall = s.Duration, s.Syscall
			return s.Parts, true
		}
	}
	return observe.Parts{}, false
}

// currentGauge is for loops whose record was lost. The gauge stays until the end of
// the window after its tick ends; if that tick had ended, it would be part of the
// counters, which would then be at least as high.
func (p *Pass) currentGauge(l *LoopView) (observe.Parts, bool) {
	q, _ := p.Last(catalog.CurrentTick, l.ID)
	if q <= LongTick || p.IncreaseOr0(catalog.LongBusy, l.ID) >= q {
		return observe.Parts{}, false
	}
	last := func(m *observe.Metric) float64 { v, _ := p.Last(m, l.ID); return v }
	l.Current = q
	return observe.Parts{
		CPU: last(catalog.CurrentCPU), RunQueue: last(catalog.CurrentRunQueue), Throttled: last(catalog.CurrentThrottled),
		Blocked: last(catalog.CurrentBlocked), PageFault: last(catalog.CurrentPageFault),
	}, true
}
