// SPDX-License-Identifier: Apache-2.0

package catalog

import . "github.com/headroom-project/headroom/agent/observe" //nolint:staticcheck // declarations read as a table

func loopTime(name, help string) *Metric {
	return &Metric{Name: "headroom.loop." + name, Unit: Seconds, Kind: Counter, About: Loop, Help: help, Zeroed: true}
}

// LongTick is the duration in seconds from which a tick counts as long: at a mean queue
// wait of 20 ms a service is overloaded (DAGOR, SoCC 2018; docs/science.md, Event
// loops). bpf/tick uses the same bound; a test of sampler/loop checks that.
const LongTick = 0.020

// Event loops. A tick runs from the return of a wait (epoll_wait, poll, select) to the
// next wait; its parts add up to its duration. Long ticks are longer than LongTick.
var (
	LoopTicks     = &Metric{Name: "headroom.loop.ticks", Unit: Count, Kind: Counter, About: Loop, Help: "Ticks of the event loop.", Zeroed: true}
	LoopBusy      = &Metric{Name: "headroom.loop.busy.time", Unit: Seconds, Kind: Counter, Activity: true, About: Loop, Help: "Time that the event loop spent in ticks. Divided by the sum of busy and wait time it is the event loop utilisation.", Zeroed: true, Series: true}
	LoopWait      = loopTime("wait.time", "Time that the event loop waited for events.")
	LoopCPU       = internal(loopTime("cpu.time", "Time in ticks running on a CPU."))
	LoopRunQueue  = internal(loopTime("run_queue.time", "Time in ticks ready to run and waiting for a CPU."))
	LoopThrottled = internal(loopTime("throttled.time", "Time in ticks throttled by a CPU quota; absent on kernels that do not report it."))
	LoopBlocked   = internal(loopTime("blocked.time", "Time in ticks blocked in a system call."))
	LoopPageFault = internal(loopTime("page_fault.time", "Time in ticks waiting for a page fault."))

	// LoopWakeThrottled is part of the lag, and not of a tick.
	LoopWakeThrottled = internal(loopTime("wake.throttled.time", "Time between events and the ticks that follow, throttled by a CPU quota; absent on kernels that do not report it."))

	LoopLag = &Metric{Name: "headroom.loop.lag", Unit: Seconds, Kind: Histogram, About: Loop, Help: "Lag of the event loop: delay between an event and the wake-up, plus the tick that follows. It is the wait for the loop's turn, not a client's latency.", Bounds: LagBounds, Zeroed: true}
	// LoopLagSquared gives the mean lag that an arrival at a random moment
	// sees: the sum of squares divided by twice the window (docs/science.md, Event loops).
	LoopLagSquared = &Metric{Name: "headroom.loop.lag.squared", Unit: "s2", Kind: Counter, About: Loop, Help: "Sum of the squares of the lag of each tick.", Zeroed: true, Internal: true}

	LongTicks     = &Metric{Name: "headroom.loop.long.ticks", Unit: Count, Kind: Counter, About: Loop, Help: "Ticks of more than 20 ms.", Zeroed: true}
	LongBusy      = loopTime("long.busy.time", "Time in long ticks.")
	LongCPU       = loopTime("long.cpu.time", "Time in long ticks running on a CPU.")
	LongRunQueue  = loopTime("long.run_queue.time", "Time in long ticks ready to run and waiting for a CPU.")
	LongThrottled = loopTime("long.throttled.time", "Time in long ticks throttled by a CPU quota; absent on kernels that do not report it.")
	LongBlocked   = loopTime("long.blocked.time", "Time in long ticks blocked in a system call.")
	LongPageFault = loopTime("long.page_fault.time", "Time in long ticks waiting for a page fault.")
	LongBlockedBy = &Metric{Name: "headroom.loop.long.blocked_by.time", Unit: Seconds, Kind: PairCounter, About: Loop, Help: "Time in long ticks blocked in a system call; the label names the call.", Zeroed: true, Second: LabelCall}
	// The next two metrics are about Call entities, which describe a system call and
	// its target. They include the tick in progress, once it is long.
	LongBlockedOn = internal(&Metric{Name: "headroom.loop.long.blocked_on.time", Unit: Seconds, Kind: PairCounter, About: Loop, Help: "Time in long ticks blocked in a system call on one file, pipe or socket.", Zeroed: true})
	LoopBlockedOn = internal(&Metric{Name: "headroom.loop.blocked_on.time", Unit: Seconds, Kind: PairCounter, About: Loop, Help: "Time in all ticks blocked in a system call on one file, pipe or socket.", Zeroed: true})

	// LongSampled and LongIn are about samples of the stack of a loop's thread in long
	// ticks, and include the tick in progress. LongIn is about Code entities. What it lacks
	// was in no function of the program, or in one that is not known.
	LongSampled = internal(loopTime("long.sampled.time", "Time in long ticks, by samples of the thread's stack."))
	LongIn      = internal(&Metric{Name: "headroom.loop.long.in.time", Unit: Seconds, Kind: PairCounter, About: Loop, Help: "Time in long ticks in one function of the program and in what it calls, by samples of the thread's stack.", Zeroed: true})

	// LongCollected and LongCollectedIn are the part of the samples in which the collector of
	// V8 ran: 0 if it never did, absent for other runtimes. The functions are those that
	// allocated.
	LongCollected   = internal(loopTime("long.collected.time", "Time in long ticks in the garbage collector of V8, by samples of the thread's stack."))
	LongCollectedIn = internal(&Metric{Name: "headroom.loop.long.collected.in.time", Unit: Seconds, Kind: PairCounter, About: Loop, Help: "Time in long ticks in the garbage collector of V8, started by an allocation in one function of the program and in what it calls, by samples of the thread's stack.", Zeroed: true})

	// LoopSampled and LoopIn are the same about all ticks of a loop that has the CPU for half
	// of the time or more, without what blocks.
	LoopSampled = internal(loopTime("sampled.time", "Time in ticks running on a CPU while the loop is busy, by samples of the thread's stack."))
	LoopIn      = internal(&Metric{Name: "headroom.loop.in.time", Unit: Seconds, Kind: PairCounter, About: Loop, Help: "Time in ticks running on a CPU in one function of the program and in what it calls while the loop is busy, by samples of the thread's stack.", Zeroed: true})

	// The tick in progress, so that a hang is reported while it lasts. The parts of a
	// tick are added to the counters above only when it ends.
	CurrentTick      = &Metric{Name: "headroom.loop.current.time", Unit: Seconds, Kind: Gauge, Fold: Highest, About: Loop, Help: "Length so far of a tick in progress that is longer than 20 ms.", Transient: true}
	CurrentCPU       = currentPart("cpu", "running on a CPU")
	CurrentRunQueue  = currentPart("run_queue", "ready to run, waiting for a CPU")
	CurrentThrottled = currentPart("throttled", "throttled by a CPU quota")
	CurrentBlocked   = currentPart("blocked", "blocked in a system call")
	CurrentPageFault = currentPart("page_fault", "waiting for a page fault")
)

func currentPart(name, help string) *Metric {
	return &Metric{Name: "headroom.loop.current." + name + ".time", Unit: Seconds, Kind: Gauge, Fold: Highest, Transient: true, Internal: true, About: Loop, Help: "Of the tick in progress, time " + help + "."}
}

// LagBounds are base 2, with four buckets per octave, from a millisecond, below which
// no request is noticeably delayed, to 65 s.
var LagBounds = Log2Bounds(1.0/1024, 16)

var loopMetrics = []*Metric{LoopTicks, LoopBusy, LoopWait, LoopCPU, LoopRunQueue, LoopThrottled, LoopBlocked, LoopPageFault, LoopWakeThrottled,
	LoopLag, LoopLagSquared, LongTicks, LongBusy, LongCPU, LongRunQueue, LongThrottled, LongBlocked, LongPageFault, LongBlockedBy, LongBlockedOn, LoopBlockedOn, LongSampled, LongIn, LongCollected, LongCollectedIn, LoopSampled, LoopIn,
	CurrentTick, CurrentCPU, CurrentRunQueue, CurrentThrottled, CurrentBlocked, CurrentPageFault}
