// SPDX-License-Identifier: Apache-2.0

package membudget

import (
	"bytes"
	"log/slog"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/history"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

const mib = 1 << 20

// restored sets GOMEMLIMIT and GOGC in the environment, and restores the limits of this
// test's process when the test ends.
func restored(t *testing.T, memory, garbage string) {
	t.Helper()
	t.Setenv("GOMEMLIMIT", memory)
	t.Setenv("GOGC", garbage)
	limit, percent := debug.SetMemoryLimit(-1), debug.SetGCPercent(100)
	t.Cleanup(func() {
		debug.SetMemoryLimit(limit)
		debug.SetGCPercent(percent)
	})
}

func newMemory(log *bytes.Buffer) (*Memory, *sampler.Detail) {
	var detail sampler.Detail
	h := history.New(history.Options{Index: observe.NewIndex(observe.DefaultLimit), Wall: time.Now()})
	return New(slog.New(slog.NewTextHandler(log, nil)), &detail, h, 4*mib), &detail
}

// TestNoLimitYet checks that before the first limit nothing is reported, and Step
// changes nothing.
func TestNoLimitYet(t *testing.T) {
	restored(t, "", "")
	before := debug.SetMemoryLimit(-1)
	var log bytes.Buffer
	m, _ := newMemory(&log)
	m.Step()
	if now := debug.SetMemoryLimit(-1); now != before || m.State().Most != 0 || m.Gaps() != nil {
		t.Errorf("the limit is %d (before: %d), %+v, gaps %v", now, before, m.State(), m.Gaps())
	}
}

// TestLimit checks that the limit of the runtime is at most that of the config, and
// that GOGC and GOMEMLIMIT in the environment have precedence.
func TestLimit(t *testing.T) {
	for _, c := range []struct {
		memory, garbage string
		bound           int64
		limited         bool // the limit of the runtime is set
		percent         int
	}{
		{"", "", 96 * mib, true, garbageShare},
		{"", "100", 96 * mib, true, 100},
		{"300MiB", "", 300 * mib, false, garbageShare},
	} {
		restored(t, c.memory, c.garbage)
		debug.SetMemoryLimit(300 * mib) // as the runtime does with GOMEMLIMIT=300MiB
		var log bytes.Buffer
		m, _ := newMemory(&log)
		m.Limit(96 * mib)
		m.Step()
		now, percent := debug.SetMemoryLimit(-1), debug.SetGCPercent(100)
		if m.State().Most != c.bound || (now != 300*mib) != c.limited || now > c.bound || percent != c.percent {
			t.Errorf("GOMEMLIMIT=%s GOGC=%s: the bound is %d MiB, the limit %d MiB and GOGC %d; want the bound %d MiB, another limit than the environment's: %v, GOGC %d",
				c.memory, c.garbage, m.State().Most/mib, now/mib, percent, c.bound/mib, c.limited, c.percent)
		}
		m.Limit(128 * mib) // a reload
		if c.limited && m.State().Most != 128*mib {
			t.Errorf("after a reload the bound is %d MiB, want 128", m.State().Most/mib)
		}
	}
}

// TestLeavesOutDetail checks that threads are left out if the heap does not fit into
// the limit, and that a gap names the setting to raise.
func TestLeavesOutDetail(t *testing.T) {
	restored(t, "", "")
	heap := make([]byte, 64*mib)
	runtime.GC() // the runtime updates the size of live memory when it collects
	var log bytes.Buffer
	m, detail := newMemory(&log)
	m.Limit(16 * mib)
	m.Step()
	runtime.KeepAlive(heap)
	if detail.Threads() || m.State().Threads {
		t.Errorf("with a heap of 64 MiB and a bound of 16 MiB threads are observed: %v, reported: %v", detail.Threads(), m.State().Threads)
	}
	gaps := m.Gaps()
	if len(gaps) != 1 || gaps[0].Source != GapSource || !strings.Contains(gaps[0].Reason, "16 MiB") || !strings.Contains(gaps[0].Cure, "raise memory in the config") {
		t.Errorf("gaps = %+v", gaps)
	}
	if !strings.Contains(log.String(), "memory budget changed") {
		t.Errorf("the log does not say it:\n%s", log.String())
	}

	detail.Chose(map[int]uint64{4242: 1, 4243: 1}, 100)
	gaps = m.Gaps()
	if len(gaps) != 2 || !strings.Contains(gaps[0].Reason, "2 of 102 processes") {
		t.Errorf("with two processes left out, gaps = %+v", gaps)
	}
	if s := m.State(); s.Processes != 100 || s.LeftOut != 2 {
		t.Errorf("with two of 102 processes left out, state = %+v", s)
	}
}
