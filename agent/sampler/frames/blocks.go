// SPDX-License-Identifier: Apache-2.0

package frames

import "time"

const (
	// blockedPart is the time in long ticks, in ns, that the loops of watched processes must
	// block between two readings before an agent reads the functions that block: two ticks.
	blockedPart = 2 * longTick
	// blocksFor is how long an agent goes on reading them after the last such time: the
	// windows that it evaluates are shorter.
	blocksFor = 5 * time.Minute
)

// captureBlocks switches on that the functions that block are read: always in a diagnosis,
// and in an agent while they make ticks long. It slows down every switch of the host.
func (r *reader) captureBlocks() error {
	if !r.host.Sparing {
		return r.probe.CaptureBlocks(true)
	}
	total := uint64(0)
	err := r.probe.LongBlocked(func(tgid uint32, ns uint64) {
		if r.watches(int(tgid)) {
			total += ns
		}
	})
	if err != nil {
		return err
	}
	on := r.blocks.needed(total, time.Now())
	if !on {
		for _, t := range r.threads {
			t.blocked = nil // its end will not be seen
		}
	}
	return r.probe.CaptureBlocks(on)
}

// blocks is what an agent knows of the time for which watched loops block in long ticks.
type blocks struct {
	total uint64 // ns, at the last reading
	read  bool
	last  time.Time // when it increased
}

// needed reports whether the functions that block are to be read, given that time. It
// decreases if a loop ends: an increase is then seen at the next reading.
func (b *blocks) needed(total uint64, now time.Time) bool {
	if b.read && total >= b.total+blockedPart {
		b.last = now
	}
	b.total, b.read = total, true
	return !b.last.IsZero() && now.Sub(b.last) < blocksFor
}

func (r *reader) watches(pid int) bool {
	for _, p := range r.processes {
		if p.pid == pid {
			return p.watched
		}
	}
	return false
}
