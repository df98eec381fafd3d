// SPDX-License-Identifier: Apache-2.0

package tick

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/internal/testutil/cgroups"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// group makes a cgroup, and deletes it when the test ends.
func group(t *testing.T, limits *specs.LinuxResources, c cgroups.Controller) *cgroups.Group {
	t.Helper()
	g, err := cgroups.New(fmt.Sprintf("headroom-tick-%d", os.Getpid()), limits, c)
	outside.Must(t, err)
	t.Cleanup(func() { outside.Must(t, g.Delete()) })
	return g
}

// TestGuestHeld checks that a loop that is frozen in the middle of a tick, as with
// docker pause, and then stopped with a signal counts as stopped, not as blocked in a
// system call.
func TestGuestHeld(t *testing.T) {
	p := open(t, Options{})
	g := group(t, nil, cgroups.Unified)
	h := start(t, "epoll", -1)
	outside.Must(t, g.Add(h.pid))
	h.send(t, 'C')
	const held = 500 * time.Millisecond
	pause := func(hold, release func()) {
		time.Sleep(200 * time.Millisecond)
		hold()
		time.Sleep(held)
		release()
	}
	signal := func(s unix.Signal) func() {
		return func() {
			if err := unix.Kill(h.pid, s); err != nil {
				t.Fatal(err)
			}
		}
	}
	pause(func() { outside.Must(t, g.Freeze()) }, func() { outside.Must(t, g.Thaw()) })
	pause(signal(unix.SIGSTOP), signal(unix.SIGCONT))
	h.answer(t)
	s := stallOf(t, p, h.pid)
	if s.Longest.Nr != CallStopped || s.Longest.NS < uint64(held*2*9/10) {
		t.Errorf("longest call = %+v, want %d for %v", s.Longest, CallStopped, held*2)
	}
}

// TestGuestThrottled compares a loop's throttled time with its cgroup's. The
// loop is the only busy thread there, on one CPU.
func TestGuestThrottled(t *testing.T) {
	p := open(t, Options{})
	if !p.Features().Throttled {
		t.Skip("this kernel's throttle clock is unknown")
	}
	g := group(t, cgroups.CPULimit(0.2), cgroups.CPU)
	h := start(t, "epoll", lastCPU(t))
	outside.Must(t, g.Add(h.pid))
	for range 5 {
		h.do(t, 'c')
		s := stallOf(t, p, h.pid)
		// Other busy processes only extend the time in which the limit lets the loop run.
		if off := s.Throttled + s.RunQueue; s.Throttled == 0 || off < s.Busy/2 {
			t.Errorf("throttled %.1f ms and queued %.1f ms of %.1f ms, want most of it", ms(s.Throttled), ms(s.RunQueue), ms(s.Busy))
		}
	}
	// Both counters increase when a throttle ends: wait for the last one.
	time.Sleep(300 * time.Millisecond)
	l, _ := loopOf(t, p, h.pid)
	want, err := g.Throttled()
	outside.Must(t, err)
	got := l.Throttled + l.WakeThrottled
	t.Logf("throttled %.1f ms, cpu.stat %.1f ms; run queue %.1f ms", ms(got), ms(uint64(want)), ms(l.RunQueue))
	near(t, "throttled", got, want, 0)
}
