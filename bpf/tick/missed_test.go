// SPDX-License-Identifier: Apache-2.0

package tick

import (
	"testing"
	"time"
)

// withoutSwitches runs do while the probe sees no context switch, as on virtual
// machines whose kernel does not fire sched_switch for some tasks.
func withoutSwitches(t testing.TB, p *Probe, do func()) {
	t.Helper()
	const switches = 2 // the index of its link in the order of attach
	if err := p.links[switches].Close(); err != nil {
		t.Fatal(err)
	}
	do()
	if err := p.attachTracing(p.objs.OnSwitch); err != nil {
		t.Fatal(err)
	}
	last := len(p.links) - 1
	p.links[switches], p.links = p.links[last], p.links[:last]
}

// idle is how long a loop waits before the action of these tests: it must not
// become part of a tick.
const idle = time.Second

func waiting(t testing.TB, p *Probe, h *helper) {
	t.Helper()
	untilItWaits(t, p, h.pid)
	time.Sleep(idle)
}

// TestGuestMissedArrival checks a loop whose switch to the CPU after its wait is
// missed. Its tick starts when it last got the CPU: before the end of unseen, and never
// during its wait.
func TestGuestMissedArrival(t *testing.T) {
	p := open(t, Options{})
	h := start(t, "epoll", -1)
	h.do(t, 'c') // the programs learn the difference of the clocks
	stallOf(t, p, h.pid)
	agrees(t, func(t testing.TB) {
		waiting(t, p, h)
		const unseen = actionTime / 8
		before := stolen(t)
		withoutSwitches(t, p, func() {
			h.send(t, 'm')
			time.Sleep(unseen)
		})
		d := h.answer(t)
		s := stallOf(t, p, h.pid)
		// Another task may run on the CPU in the meantime without being seen.
		near(t, "busy", s.Busy, d.wall-unseen/2, unseen/2+slack)
		nearCPU(t, s.CPU, d.cpu-unseen/2, unseen/2+slack, before)
	})
	if l, _ := loopOf(t, p, h.pid); l.Discarded != 0 {
		t.Errorf("%d ticks were discarded, want none", l.Discarded)
	}
}

// TestGuestMissedDeparture checks a loop whose switch from the CPU in its wait is
// missed. The start of the next tick is known, and the time before it does not count.
func TestGuestMissedDeparture(t *testing.T) {
	p := open(t, Options{})
	h := start(t, "epoll", -1)
	h.do(t, 's')
	stallOf(t, p, h.pid)
	agrees(t, func(t testing.TB) {
		waiting(t, p, h)
		withoutSwitches(t, p, func() {
			h.do(t, 'c')
			time.Sleep(actionTime / 2)
		})
		time.Sleep(idle)
		_ = p.ReadStalls(func(*Stall) {})
		before, _ := loopOf(t, p, h.pid)
		d := h.do(t, 's')
		near(t, "busy", stallOf(t, p, h.pid).Busy, d.wall, slack)
		after, _ := loopOf(t, p, h.pid)
		near(t, "busy in all", after.Busy-before.Busy, d.wall, slack)
	})
}
