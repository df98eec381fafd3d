// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"os"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

func followed(s *observe.Snapshot, r *reader) (n int) {
	for _, p := range r.procs {
		if _, ok := s.Value(catalog.ProcessCPU, p.id); ok && p.known {
			n++
		}
	}
	return n
}

// TestLeastActiveAreLeftOut checks that with a limit of few processes a process that
// uses a CPU is included, no sampler sees the others, and the others return when the
// limit allows.
func TestLeastActiveAreLeftOut(t *testing.T) {
	both(t, func(t *testing.T, h *sampler.Host) {
		h.Identity = h.Detail.Identity(h.Identity)
		busy := spawn(t, "sh", "-c", "while :; do :; done")
		r := opened(t, h)
		all := followed(read(t, r), r)
		time.Sleep(1500 * time.Millisecond) // of CPU use
		const room = 20                     // the machine may have other busy ones
		h.Detail.Keep(room, true)
		s := read(t, r)
		if n := followed(s, r); n != room || all < room+5 {
			t.Errorf("%d of %d processes are followed, want %d", n, all, room)
		}
		find(t, r, busy.Process.Pid)
		var out *process
		for _, p := range r.procs {
			if p.left {
				out = p
			}
		}
		if out == nil || out.known {
			t.Fatalf("a process that is left out is known: %+v", out)
		}
		if _, ok := h.Identity.Process(out.pid, out.start); ok {
			t.Error("another sampler sees a process that is left out")
		}
		if n, left := h.Detail.Counts(); n != room || left != len(r.procs)-room {
			t.Errorf("%d are followed and %d left out, want %d and %d", n, left, room, len(r.procs)-room)
		}
		if len(s.Ended) == 0 {
			t.Error("what is left out was not given up")
		}
		h.Detail.Keep(0, true)
		if n := followed(read(t, r), r); n < len(r.procs)-5 { // some may have just begun, or ended
			t.Errorf("%d of %d processes are followed when there is room", n, len(r.procs))
		}
		if p := r.procs[out.pid]; p != nil && !p.known {
			t.Errorf("a process does not come back: %+v", p)
		}
	})
}

// TestRoomAtTheStart checks that processes beyond the limit are never in a snapshot,
// not even in the first one.
func TestRoomAtTheStart(t *testing.T) {
	h := host("/proc", nil)
	h.Identity = h.Detail.Identity(h.Identity)
	h.Detail.Keep(3, true)
	r := opened(t, h)
	if n := followed(read(t, r), r); n != 3 {
		t.Errorf("%d processes are in the first snapshot, want 3", n)
	}
	if n := h.Index.Count(); n > 20 {
		t.Errorf("%d entities are followed", n)
	}
}

// TestNoThreads checks that no thread is an entity if threads are left out.
func TestNoThreads(t *testing.T) {
	h := host("/proc", withProbe(t))
	h.Detail.Keep(0, false)
	spawn(t, "sh", "-c", "while :; do :; done")
	r := opened(t, h)
	for range 3 {
		for id := range read(t, r).Index.Len() {
			if e := r.index.Entity(observe.ID(id)); e.Kind == observe.Thread {
				t.Fatalf("%v is followed", e)
			}
		}
	}
	find(t, r, os.Getpid())
}
