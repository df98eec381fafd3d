// SPDX-License-Identifier: Apache-2.0

package tick

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/bpf/support"
)

// TestGuestFeatures lists what this kernel lacks, for the table of kernels.
func TestGuestFeatures(t *testing.T) {
	p := open(t, Options{})
	f := p.Features()
	for _, m := range f.Missing {
		if m.What == "" || m.Why == "" || m.Cure == "" {
			t.Errorf("missing %+v: want what, why and cure", m)
		}
		t.Logf("GAP %s (%s)", m.What, m.Why)
	}
	if !f.Throttled || !f.Threads || !f.Scan || !f.Blame || !f.SyscallTracepoints {
		t.Errorf("features = %+v, want all: every kernel since 5.10 has them", f)
	}
	if l := p.Lost(); l != (Lost{}) {
		t.Errorf("lost = %+v at the start, want nothing", l)
	}
}

// dropCaps drops all effective capabilities of this thread except keep, and restores
// them after do.
func dropCaps(t *testing.T, keep uint64, do func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var old [2]unix.CapUserData
	if err := unix.Capget(&hdr, &old[0]); err != nil {
		t.Fatal(err)
	}
	less := old
	less[0].Effective &= uint32(keep)
	less[1].Effective &= uint32(keep >> 32)
	if err := unix.Capset(&hdr, &less[0]); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Capset(&hdr, &old[0]); err != nil {
			t.Fatal(err)
		}
	}()
	do()
}

func TestGuestUnprivileged(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to drop it")
	}
	dropCaps(t, 0, func() {
		p, err := Open(Options{})
		if err == nil {
			p.Close()
		}
		if !errors.Is(err, support.ErrNotSupported) || !strings.Contains(err.Error(), "CAP_BPF") {
			t.Errorf("Open = %v, want support.ErrNotSupported that names CAP_BPF", err)
		}
		t.Log(err)
	})
	ran++
}

// TestGuestNoPerfEvents runs without CAP_SYS_ADMIN and with Debian's perf_event_paranoid:
// ticks and their causes must still be recorded.
func TestGuestNoPerfEvents(t *testing.T) {
	const knob = "/proc/sys/kernel/perf_event_paranoid"
	old, err := os.ReadFile(knob)
	if err != nil {
		t.Skip(err)
	}
	if err := os.WriteFile(knob, []byte("3"), 0); err != nil {
		t.Skip(err)
	}
	defer func() { _ = os.WriteFile(knob, old, 0) }()
	keep := uint64(1<<unix.CAP_BPF | 1<<unix.CAP_PERFMON | 1<<unix.CAP_SYS_RESOURCE)
	dropCaps(t, keep, func() {
		p := open(t, Options{})
		if f := p.Features(); f.SyscallTracepoints || len(f.Missing) == 0 {
			t.Errorf("features = %+v, want no tracepoints, and why", f)
		} else {
			t.Log(f.Missing)
		}
		h := start(t, "epoll", -1)
		d := h.do(t, 's')
		s := stallOf(t, p, h.pid)
		near(t, "stall", s.Busy, d.wall, slack)
		near(t, "blocked", s.Blocked, actionTime, slack)
	})
}
