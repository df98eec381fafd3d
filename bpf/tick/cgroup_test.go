// SPDX-License-Identifier: Apache-2.0

package tick

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// quota makes a cgroup with a CPU limit of 20 ms per 100 ms, in v1 or v2.
func quota(t *testing.T) string {
	t.Helper()
	root, settings := "/sys/fs/cgroup/cpu", [][2]string{{"cpu.cfs_period_us", "100000"}, {"cpu.cfs_quota_us", "20000"}}
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		root, settings = "/sys/fs/cgroup", [][2]string{{"cpu.max", "20000 100000"}}
		_ = os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+cpu"), 0)
	}
	dir := group(t, root)
	for _, s := range settings {
		write(t, dir, s[0], s[1])
	}
	return dir
}

// group makes a cgroup below root, for as long as the test runs.
func group(t *testing.T, root string) string {
	t.Helper()
	dir := filepath.Join(root, fmt.Sprintf("headroom-tick-%d", os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatalf("no cgroup: %v", err)
	}
	t.Cleanup(func() {
		for range 50 {
			if err := os.Remove(dir); err == nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Errorf("%s is left", dir)
	})
	return dir
}

func write(t *testing.T, dir, file, value string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, file), []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}

// TestGuestHeld freezes a loop in the middle of a tick, as docker pause does,
// and stops it by a signal. Neither is a system call that blocks.
func TestGuestHeld(t *testing.T) {
	p := open(t, Options{})
	root := "/sys/fs/cgroup/unified"
	if _, err := os.Stat(root); err != nil {
		root = "/sys/fs/cgroup"
	}
	dir := group(t, root)
	h := start(t, "epoll", -1)
	write(t, dir, "cgroup.procs", strconv.Itoa(h.pid))
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
	pause(func() { write(t, dir, "cgroup.freeze", "1") }, func() { write(t, dir, "cgroup.freeze", "0") })
	pause(signal(unix.SIGSTOP), signal(unix.SIGCONT))
	h.answer(t)
	s := stallOf(t, p, h.pid)
	if s.Longest.Nr != CallStopped || s.Longest.NS < uint64(held*2*9/10) {
		t.Errorf("longest call = %+v, want %d for %v", s.Longest, CallStopped, held*2)
	}
}

// throttledTime reads throttled_time (v1, ns) or throttled_usec (v2).
func throttledTime(t *testing.T, dir string) time.Duration {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "cpu.stat"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, _ := strconv.ParseInt(value, 10, 64)
		switch name {
		case "throttled_time":
			return time.Duration(n)
		case "throttled_usec":
			return time.Duration(n) * time.Microsecond
		}
	}
	t.Fatalf("no throttled time in %q", b)
	return 0
}

// TestGuestThrottled compares a loop's throttled time with its cgroup's. The
// loop is the only busy thread there, on one CPU.
func TestGuestThrottled(t *testing.T) {
	p := open(t, Options{})
	if !p.Features().Throttled {
		t.Skip("this kernel's throttle clock is unknown")
	}
	dir := quota(t)
	h := start(t, "epoll", lastCPU(t))
	write(t, dir, "cgroup.procs", strconv.Itoa(h.pid))
	for range 5 {
		h.do(t, 'c')
		s := stallOf(t, p, h.pid)
		// Neighbours only stretch what the limit leaves.
		if off := s.Throttled + s.RunQueue; s.Throttled == 0 || off < s.Busy/2 {
			t.Errorf("throttled %.1f ms and queued %.1f ms of %.1f ms, want most of it", ms(s.Throttled), ms(s.RunQueue), ms(s.Busy))
		}
	}
	// Both counters move when a throttle ends: let the last one end.
	time.Sleep(300 * time.Millisecond)
	l, _ := loopOf(t, p, h.pid)
	got, want := l.Throttled+l.WakeThrottled, throttledTime(t, dir)
	t.Logf("throttled %.1f ms, cpu.stat %.1f ms; run queue %.1f ms", ms(got), ms(uint64(want)), ms(l.RunQueue))
	near(t, "throttled", got, want, 0)
}
