// SPDX-License-Identifier: Apache-2.0

package tick

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"

	"github.com/headroom-project/headroom/bpf/support"
)

// Kind is the family of system calls that a loop waits in.
type Kind uint8

// The kinds of loops.
const (
	NoLoop = Kind(tickWaitKindWAIT_NONE) // after an exec, before the new program waits
	Epoll  = Kind(tickWaitKindWAIT_EPOLL)
	Poll   = Kind(tickWaitKindWAIT_POLL)
	Select = Kind(tickWaitKindWAIT_SELECT)
)

func (k Kind) String() string {
	switch k {
	case NoLoop:
		return "none"
	case Epoll:
		return "epoll"
	case Poll:
		return "poll"
	case Select:
		return "select"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// OffState is the reason why a thread is not on a CPU.
type OffState uint8

// The states of a thread.
const (
	OnCPU           = OffState(tickOffStateON_CPU)
	Runnable        = OffState(tickOffStateOFF_RUNNABLE)
	Sleeping        = OffState(tickOffStateOFF_SLEEPING)
	Uninterruptible = OffState(tickOffStateOFF_UNINTERRUPTIBLE)
	Stopped         = OffState(tickOffStateOFF_STOPPED)
)

func (s OffState) String() string {
	switch s {
	case OnCPU:
		return "on-cpu"
	case Runnable:
		return "runnable"
	case Sleeping:
		return "sleeping"
	case Uninterruptible:
		return "uninterruptible"
	case Stopped:
		return "stopped"
	}
	return fmt.Sprintf("OffState(%d)", uint8(s))
}

// Pseudo system calls in addition to the kernel's numbers.
const (
	CallFault   = int32(tickCallNrCALL_FAULT)   // a page fault
	CallStopped = int32(tickCallNrCALL_STOPPED) // stopped by a signal, a tracer or a freezer
	CallOther   = int32(tickCallNrCALL_OTHER)   // calls beyond the number that is kept
)

// Parts is the time of ticks by how it was spent, in ns. Busy = CPU + RunQueue +
// Throttled + Blocked + Fault.
type Parts struct {
	CPU       uint64
	RunQueue  uint64 // runnable, another thread had the CPU
	Throttled uint64 // runnable, but throttled by a CPU limit; see Features.Throttled
	Blocked   uint64 // asleep in a system call
	Fault     uint64 // asleep in a page fault
	BlockedIO uint64 // the part of Blocked + Fault spent waiting for a disk
}

// LongTicks are the ticks longer than Options.LongTick; all fields are cumulative.
type LongTicks struct {
	Count   uint64
	Busy    uint64 // ns
	Longest uint64 // ns, the longest tick since the loop was first seen
	Parts
}

// Current is the tick in progress if Loop.InTick is set, otherwise the wait.
type Current struct {
	Start       uint64 // CLOCK_MONOTONIC, ns
	Elapsed     uint64 // ns
	Parts              // so far; until the current time off the CPU ends it counts as RunQueue or Blocked
	Off         OffState
	OffFor      uint64 // ns since it left the CPU; 0 on the CPU
	Syscall     int32  // the call that it is blocked in, if Off is a sleep, or CallFault or CallStopped
	Target      Target // the target of Syscall
	NestedWaits uint32 // waits on another epfd inside this tick: a nested loop such as that of node's execSync
	BlockedBy   []Call // completed sleeps of this tick, at most four
}

// SquareUnit is the unit of Loop.LagSquared, in ns².
const SquareUnit = 1 << 20

// Loop is one thread that waits in epoll, poll or select. Counters are
// cumulative since the thread was first seen; durations are ns. A wait lasts
// from its entry until the thread runs again, a tick from then to the next
// entry, so Busy + Wait is the time observed. Counters advance when a tick ends;
// the tick in progress is in Current.
type Loop struct {
	Tgid, Tid uint32
	Start     uint64 // of the thread, ns since boot; identifies the thread together with Tid
	Kind      Kind
	Epfd      int32 // the main epfd; -1 for poll and select
	Shared    bool  // several threads wait on Epfd (Go, tokio): a scheduler, not a loop. Ignore its numbers.
	Ended     bool  // the thread has exited; these are its last values, reported once

	Ticks         uint64
	Busy          uint64
	Wait          uint64
	Wake          uint64 // part of Wait in which the thread was awake, but not yet on a CPU
	WakeThrottled uint64 // part of Wake in which it was throttled by a CPU limit
	Parts                // of Busy
	LagSquared    uint64 // sum of (wake + busy)² over ticks, in SquareUnit
	Lag           Hist   // of wake + busy per tick
	Long          LongTicks
	BlockedBy     []LoopCall // at most eight

	StallsSuppressed uint64 // stalls beyond ten per second, which are only counted
	Discarded        uint64 // ticks left out because their start was not seen

	InTick  bool
	Current Current
}

// Hist is a histogram over Bounds: count and sum (ns) per bucket.
type Hist struct{ Count, Sum []uint64 }

// buckets is the number of buckets of a histogram, as declared in C.
const buckets = len(tickLoop{}.Lag.Count)

// Bounds returns the upper bounds of all buckets except the last, in ns: 2^(i/4)
// seconds from 2^-10 s to 2^6 s, the buckets of Prometheus' schema 2.
func Bounds() []uint64 {
	b := make([]uint64, buckets-1)
	for i := range b {
		b[i] = uint64(math.Round(math.Exp2(float64(i)/4-10) * 1e9))
	}
	return b
}

// ReadLoops yields every loop. The Loop is reused: copy the values to keep.
func (p *Probe) ReadLoops(yield func(*Loop)) error {
	now, err := support.Monotonic()
	if err != nil {
		return err
	}
	var end uint32
	if err := p.objs.LoopsEnd.Get(&end); err != nil {
		return fmt.Errorf("reading the number of loops: %w", err)
	}
	// If two CPUs add loops at the same time, end can be slightly too low.
	end = min(end+16, p.objs.Loops.MaxEntries())
	for i := uint32(1); i < end; i++ {
		if err := p.readLoop(i, now, yield); err != nil {
			return fmt.Errorf("reading loops: %w", err)
		}
	}
	return nil
}

// LongBlocked yields the process of every loop that blocked in long ticks, and for how
// long in ns, cumulative; the tick in progress counts once it is long. It copies nothing.
func (p *Probe) LongBlocked(yield func(tgid uint32, ns uint64)) error {
	now, err := support.Monotonic()
	if err != nil {
		return err
	}
	// ReadLoops has mapped the loops that there are.
	size := int(unsafe.Sizeof(tickLoop{}))
	for i := size; i+size <= len(p.loops.mapped); i += size {
		v := (*tickLoop)(unsafe.Pointer(&p.loops.mapped[i]))
		if v.Tid == 0 || v.Ended != 0 || v.Shared != 0 {
			continue
		}
		ns := v.LongTicks.Parts.Blocked
		if at := v.OffAt; v.InWait == 0 && OffState(v.Off) >= Sleeping && since(now, at) > uint64(DefaultLongTick) {
			ns += since(now, at)
		}
		if ns > 0 {
			yield(v.Tgid, ns)
		}
	}
	return nil
}

func (p *Probe) readLoop(i uint32, now uint64, yield func(*Loop)) error {
	v, err := p.copyLoop(i)
	if err != nil || v == nil {
		return err
	}
	fillLoop(&p.loop, v, now)
	yield(&p.loop)
	if v.Ended == 0 {
		return nil
	}
	return p.freeLoop(i)
}

// rereads limits how often a loop is copied again because it was written during the
// copy.
const rereads = 5

// copyLoop copies entry i consistently. It returns nil if the entry is unused.
func (p *Probe) copyLoop(i uint32) (*tickLoop, error) {
	entry, err := p.loops.at(i)
	if err != nil {
		return nil, err
	}
	v := (*tickLoop)(unsafe.Pointer(&p.loopBytes[0]))
	var head [8]byte // seq and tid
	if copy(head[:], entry); [4]byte(head[4:]) == [4]byte{} {
		return nil, nil
	}
	for range rereads {
		copy(p.loopBytes, entry)
		copy(head[:], entry)
		if v.Seq%2 == 0 && v.Seq == binary.NativeEndian.Uint32(head[:]) {
			break
		}
	}
	return v, nil
}

// freeLoop returns the entry of an ended loop to the eBPF programs.
func (p *Probe) freeLoop(i uint32) error {
	entry, err := p.loops.at(i)
	if err != nil {
		return err
	}
	clear(entry[:8])
	return p.objs.FreeLoops.Put(nil, i)
}

// fillFree adds all entries except 0 to the free list of the eBPF programs, the
// lowest on top.
func (p *Probe) fillFree() error {
	for i := p.objs.Loops.MaxEntries() - 1; i > 0; i-- {
		if err := p.objs.FreeLoops.Put(nil, i); err != nil {
			return fmt.Errorf("filling %s: %w", p.objs.FreeLoops, err)
		}
	}
	return nil
}

func fillLoop(l *Loop, v *tickLoop, now uint64) {
	l.Tgid, l.Tid, l.Start = v.Tgid, v.Tid, v.StartBoottime
	l.Kind, l.Epfd = Kind(v.Kind), v.Epfd
	l.Shared, l.Ended = v.Shared != 0, v.Ended != 0
	l.Ticks, l.Busy, l.Wait = v.Ticks, v.Busy, v.Wait
	l.Wake, l.WakeThrottled, l.LagSquared = v.SumWake, v.SumWakeThrottled, v.Q_squared
	l.Parts = makeParts(v.Busy, v.Sum)
	l.StallsSuppressed, l.Discarded = v.StallsSuppressed, v.Discarded
	fillLag(&l.Lag, v)
	fillLong(&l.Long, v)
	fillCalls(l, v)
	fillCurrent(l, v, now)
}

// fillLag copies the histogram and calculates bucket 0, which the eBPF programs leave out.
func fillLag(h *Hist, v *tickLoop) {
	h.Count = append(h.Count[:0], v.Lag.Count[:]...)
	h.Sum = append(h.Sum[:0], v.Lag.Sum[:]...)
	count, sum := v.Ticks, v.Busy+v.SumWake
	for i := 1; i < buckets; i++ {
		count -= min(count, h.Count[i])
		sum -= min(sum, h.Sum[i])
	}
	h.Count[0], h.Sum[0] = count, sum
}

func fillLong(b *LongTicks, v *tickLoop) {
	b.Count, b.Busy, b.Longest = v.LongTicks.Count, v.LongTicks.Busy, v.LongTicks.Longest
	b.Parts = makeParts(v.LongTicks.Busy, v.LongTicks.Parts)
}

func fillCurrent(l *Loop, v *tickLoop, now uint64) {
	c := &l.Current
	l.InTick = !l.Ended && l.Kind != NoLoop && (v.Off == uint8(OnCPU) || v.InWait == 0)
	*c = Current{Start: v.Start, Off: OffState(v.Off), NestedWaits: v.NestedWaits, BlockedBy: c.BlockedBy[:0]}
	c.Elapsed = since(now, v.Start)
	parts := v.Parts
	if c.Off != OnCPU {
		c.OffFor = since(now, v.OffAt)
		c.Syscall, c.Target = offCall(c.Off, v.OffNr), makeTarget(v.OffTarget)
		switch {
		case c.Off == Runnable:
			parts.Runq += c.OffFor
		case c.Syscall == CallFault:
			parts.Fault += c.OffFor
		default:
			parts.Blocked += c.OffFor
		}
	}
	c.Parts = makeParts(c.Elapsed, parts)
	for _, k := range v.Calls {
		if k.Times != 0 {
			c.BlockedBy = append(c.BlockedBy, makeCall(k))
		}
	}
}

// offCall returns the call, real or pseudo, of a thread off the CPU, as split_off does.
func offCall(s OffState, nr int32) int32 {
	switch {
	case s == Stopped:
		return CallStopped
	case nr < 0:
		return CallFault
	}
	return nr
}

func since(now, then uint64) uint64 { return now - min(now, then) }

// makeParts adds the CPU time, which is the rest of busy.
func makeParts(busy uint64, c tickParts) Parts {
	off := c.Runq + c.Throttled + c.Blocked + c.Fault
	return Parts{CPU: busy - min(busy, off), RunQueue: c.Runq, Throttled: c.Throttled, Blocked: c.Blocked, Fault: c.Fault, BlockedIO: c.Io}
}
