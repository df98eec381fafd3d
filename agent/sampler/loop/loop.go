// SPDX-License-Identifier: Apache-2.0

// Package loop samples event loops: the durations of their ticks and how the time
// of long ticks was spent. It is a thin layer over bpf/tick, which measures; this
// package adds units and names.
package loop

import (
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/bpf/tick"
)

// Sampler reads every event loop of the host.
var Sampler = &sampler.Sampler{
	Name: "loop",
	Doc:  "Measures the ticks of every event loop: duration, and time on a CPU, waiting for a CPU, throttled, blocked or in a page fault (eBPF).",
	Provides: []*observe.Metric{
		catalog.LoopTicks, catalog.LoopBusy, catalog.LoopWait, catalog.LoopCPU, catalog.LoopRunQueue, catalog.LoopThrottled, catalog.LoopWakeThrottled,
		catalog.LoopBlocked, catalog.LoopPageFault, catalog.LoopLag, catalog.LoopLagSquared,
		catalog.LongTicks, catalog.LongBusy, catalog.LongCPU, catalog.LongRunQueue, catalog.LongThrottled,
		catalog.LongBlocked, catalog.LongPageFault, catalog.LongBlockedBy, catalog.LongBlockedOn, catalog.LoopBlockedOn,
		catalog.CurrentTick, catalog.CurrentCPU, catalog.CurrentRunQueue, catalog.CurrentThrottled,
		catalog.CurrentBlocked, catalog.CurrentPageFault,
	},
	Open: open,
}

// longTick is the threshold of a long tick in bpf/tick: catalog.LongTick.
const longTick = tick.DefaultLongTick

type reader struct {
	probe     *tick.Probe
	host      *sampler.Host
	proc      procDir
	throttled bool
	known     map[uint32]*known
	round     uint32
	calls     map[int32]observe.ID
	lost      tick.Lost
	hanging   []*hanging
	rings     []ring
	ringsAt   time.Time     // when the last search for them began
	ringsTook time.Duration // how long it took
	targets   *targets
}

// known is a loop that was seen before, by thread ID.
type known struct {
	start   uint64
	process observe.ID
	id      observe.ID
	shared  bool
	kind    tick.Kind
	round   uint32
	calls   map[callKey]*calledOn
}

func open(host *sampler.Host) (sampler.Reader, error) {
	probe, err := sampler.Probe[*tick.Probe](host, "tick")
	if err != nil {
		return nil, err
	}
	return &reader{
		probe: probe, host: host, proc: procDir(host.Proc), throttled: probe.Features().Throttled,
		known: make(map[uint32]*known), calls: make(map[int32]observe.ID), targets: newTargets(host),
	}, nil
}

// Read writes every loop, the stalls since the last reading, and what was lost.
func (r *reader) Read(s *observe.Snapshot) error {
	r.round++
	r.targets.lookForPeers()
	err := r.probe.ReadLoops(func(l *tick.Loop) { r.loop(s, l) })
	if err != nil {
		return fmt.Errorf("reading loops: %w", err)
	}
	r.sweep(s)
	if r.round == 1 {
		r.findHanging()
	}
	r.tellHanging(s)
	r.findRings()
	r.tellRings(s)
	if err := r.stalls(s); err != nil {
		return err
	}
	r.gaps(s)
	return nil
}

func (r *reader) Close() error { return nil } // the probe belongs to host.Probes

func (r *reader) loop(s *observe.Snapshot, l *tick.Loop) {
	r.seenWaiting(l)
	if l.Kind == tick.NoLoop && !l.Ended {
		if k := r.known[l.Tid]; k != nil {
			k.round = r.round
		}
		return
	}
	if l.Ticks == 0 && l.Current.Elapsed == 0 {
		return // a wait and no tick yet
	}
	k := r.lookup(l)
	if k == nil {
		return
	}
	k.round = r.round
	totals(s, k.id, l, r.throttled)
	longs(s, k.id, l, r.throttled)
	r.blocked(s, k, l)
	if l.InTick && l.Current.Elapsed > uint64(longTick) && !l.Shared {
		r.current(s, k.id, l)
	}
	if l.Ended {
		k.end(s, "exited")
		delete(r.known, l.Tid)
	}
}

// lookup returns what is kept of a loop, and describes the loop the first time; nil
// if its process is gone.
func (r *reader) lookup(l *tick.Loop) *known {
	k := r.known[l.Tid]
	if k != nil && k.start == l.Start && k.shared == l.Shared && (k.kind == l.Kind || l.Ended) {
		return k
	}
	process, ok := r.host.Identity.Current(int(l.Tgid))
	if !ok {
		return nil
	}
	tid := strconv.Itoa(int(l.Tid))
	attrs := map[string]string{catalog.AttrTID: tid, catalog.AttrLoopKind: l.Kind.String()}
	if l.Shared {
		attrs[catalog.AttrLoopShared] = "true"
	}
	id := describe(r.host, process, tid, attrs)
	k = &known{start: l.Start, process: process, id: id, shared: l.Shared, kind: l.Kind}
	r.known[l.Tid] = k
	return k
}

func seconds(ns uint64) float64 { return float64(ns) / 1e9 }

func totals(s *observe.Snapshot, id observe.ID, l *tick.Loop, throttled bool) {
	s.Set(catalog.LoopTicks, id, float64(l.Ticks))
	s.Set(catalog.LoopBusy, id, seconds(l.Busy))
	s.Set(catalog.LoopWait, id, seconds(waited(l)))
	s.Set(catalog.LoopCPU, id, seconds(l.CPU))
	s.Set(catalog.LoopRunQueue, id, seconds(l.RunQueue))
	if throttled {
		s.Set(catalog.LoopThrottled, id, seconds(l.Throttled))
		s.Set(catalog.LoopWakeThrottled, id, seconds(l.WakeThrottled))
	}
	s.Set(catalog.LoopBlocked, id, seconds(l.Blocked))
	s.Set(catalog.LoopPageFault, id, seconds(l.Fault))
	s.Set(catalog.LoopLagSquared, id, float64(l.LagSquared)*tick.SquareUnit/1e18)
	h := s.Hist(catalog.LoopLag, id)
	for i := range l.Lag.Count {
		h.Count[i], h.Sum[i] = float64(l.Lag.Count[i]), seconds(l.Lag.Sum[i])
	}
}

// waited returns the time of all waits, including the current one: the kernel adds
// a wait when it ends.
func waited(l *tick.Loop) uint64 {
	if l.InTick || l.Ended {
		return l.Wait
	}
	return l.Wait + l.Current.Elapsed
}

func longs(s *observe.Snapshot, id observe.ID, l *tick.Loop, throttled bool) {
	s.Set(catalog.LongTicks, id, float64(l.Long.Count))
	s.Set(catalog.LongBusy, id, seconds(l.Long.Busy))
	s.Set(catalog.LongCPU, id, seconds(l.Long.CPU))
	s.Set(catalog.LongRunQueue, id, seconds(l.Long.RunQueue))
	if throttled {
		s.Set(catalog.LongThrottled, id, seconds(l.Long.Throttled))
	}
	s.Set(catalog.LongBlocked, id, seconds(l.Long.Blocked))
	s.Set(catalog.LongPageFault, id, seconds(l.Long.Fault))
}

// current writes the tick in progress, so that a hang is visible while it lasts.
func (r *reader) current(s *observe.Snapshot, id observe.ID, l *tick.Loop) {
	c := &l.Current
	writeCurrent(s, id, seconds(c.Elapsed), parts(c.Parts), r.throttled)
	if c.Elapsed < uint64(tick.DefaultStallThreshold) {
		return
	}
	stall := observe.Stall{Loop: id, Start: wallClock(c.Start), Duration: seconds(c.Elapsed), Parts: parts(c.Parts), InProgress: true}
	if c.Off == tick.Sleeping || c.Off == tick.Uninterruptible {
		stall.Syscall = callName(c.Syscall)
	} else if longest := longestCall(c.BlockedBy); longest != nil {
		stall.Syscall = callName(longest.Nr)
	}
	s.Stalls = append(s.Stalls, stall)
}

func writeCurrent(s *observe.Snapshot, id observe.ID, elapsed float64, p observe.Parts, throttled bool) {
	s.Set(catalog.CurrentTick, id, elapsed)
	s.Set(catalog.CurrentCPU, id, p.CPU)
	s.Set(catalog.CurrentRunQueue, id, p.RunQueue)
	if throttled {
		s.Set(catalog.CurrentThrottled, id, p.Throttled)
	}
	s.Set(catalog.CurrentBlocked, id, p.Blocked)
	s.Set(catalog.CurrentPageFault, id, p.PageFault)
}

func longestCall(calls []tick.Call) *tick.Call {
	var longest *tick.Call
	for i := range calls {
		if longest == nil || calls[i].NS > longest.NS {
			longest = &calls[i]
		}
	}
	return longest
}

func parts(p tick.Parts) observe.Parts {
	return observe.Parts{CPU: seconds(p.CPU), RunQueue: seconds(p.RunQueue), Throttled: seconds(p.Throttled),
		Blocked: seconds(p.Blocked), PageFault: seconds(p.Fault)}
}

// wallClock converts a CLOCK_MONOTONIC time to a time of day.
func wallClock(mono uint64) time.Time {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return time.Now().UTC()
	}
	return time.Now().Add(time.Duration(int64(mono) - now.Nano())).UTC()
}

func (r *reader) stalls(s *observe.Snapshot) error {
	err := r.probe.ReadStalls(func(st *tick.Stall) {
		k := r.known[st.Tid]
		if k == nil || k.shared || k.start != st.ThreadStart {
			return
		}
		stall := observe.Stall{Loop: k.id, Start: wallClock(st.Start), Duration: seconds(st.Busy), Parts: parts(st.Parts)}
		if st.Longest.Times > 0 {
			stall.Syscall = callName(st.Longest.Nr)
		}
		s.Stalls = append(s.Stalls, stall)
	})
	if err != nil {
		return fmt.Errorf("reading stalls: %w", err)
	}
	return nil
}

// sweep drops loops that the probe no longer has.
func (r *reader) sweep(s *observe.Snapshot) {
	for tid, k := range r.known {
		if k.round != r.round {
			k.end(s, "gone")
			delete(r.known, tid)
		}
	}
}

// gaps adds what the probe lost since the last reading, and what it cannot
// see on this host.
func (r *reader) gaps(s *observe.Snapshot) {
	for _, m := range r.probe.Features().Missing {
		s.Gap("loop", m.What+": "+m.Why, m.Cure)
	}
	lost := r.probe.Lost()
	if lost.Loops > r.lost.Loops {
		s.Gap("loop", "some event loops are not observed: the limit of the eBPF probe was reached", "")
	}
	if lost.Stalls > r.lost.Stalls {
		s.Gap("loop", "some long ticks are counted but have no details: the ring buffer of the eBPF probe was full", "")
	}
	r.lost = lost
}
