// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"fmt"
	"math"
	"time"

	"github.com/headroom-project/headroom/agent/observe"
)

// Limits of a whole recording.
const (
	// maxSnapshots is more than one per second for a day.
	maxSnapshots = 100_000
	// maxEntities is the maximum number of entities that can be observed.
	maxEntities = observe.DefaultLimit
	// maxGaps is the maximum number of different gaps; each source has a few.
	maxGaps = 5_000
	// maxEnded is the maximum number of entities that ended.
	maxEnded = 1_000_000
	// maxLoops is the maximum number of event loops with stalls: each keeps the
	// longest.
	maxLoops = 10_000
	// maxText is the maximum length of a name: a path has 4 KiB.
	maxText = 16 << 10
	// maxAttrs is the maximum number of attributes of an entity, which has about a
	// dozen.
	maxAttrs = 100
	// maxBefore is the maximum time between reading a value and its snapshot.
	maxBefore = time.Hour
	// maxCPUs is more than Linux supports.
	maxCPUs = 1 << 16
	// maxValue is the largest number that the kernel can report, 2^64.
	maxValue = 1 << 64
)

func (h *Header) check() error {
	switch {
	case h.Host.CPUs < 1 || h.Host.CPUs > maxCPUs:
		return fmt.Errorf("its host has %d CPUs", h.Host.CPUs)
	case !valid(h.Host.Memory):
		return fmt.Errorf("its host has %g bytes of memory", h.Host.Memory)
	}
	return nil
}

// valid reports whether a value can be measured: samplers report no negative
// values.
func valid(v float64) bool { return v >= 0 && v <= maxValue }

// checkTime rejects a snapshot that is not later than the previous one.
func (r *Reader) checkTime(f *frame) error {
	if f.Monotonic < 0 || f.BootTime < 0 || r.snapshots > 0 && f.Monotonic <= int64(r.snapshot.Monotonic) {
		return fmt.Errorf("%w: a snapshot is not later than the one before it", ErrDamaged)
	}
	return nil
}

// count checks what adds up over the recording.
func (r *Reader) count(f *frame) error {
	r.ended += len(f.Ended)
	for _, g := range f.Gaps {
		r.gaps[g] = true
	}
	for _, s := range f.Stalls {
		r.loops[s.N] = true
	}
	for _, c := range []struct {
		n, most int
		what    string
	}{
		{r.snapshots + 1, maxSnapshots, "snapshots"}, {len(r.ids), maxEntities, "entities"}, {len(r.gaps), maxGaps, "gaps"},
		{r.ended, maxEnded, "ended entities"}, {len(r.loops), maxLoops, "event loops with stalls"},
	} {
		if c.n > c.most {
			return fmt.Errorf("%w: it has more than %d %s", ErrTooLarge, c.most, c.what)
		}
	}
	return nil
}

// checkTexts rejects names that no host has.
func checkTexts(texts ...string) error {
	for _, t := range texts {
		if len(t) > maxText {
			return fmt.Errorf("%w: a text has %d bytes", ErrDamaged, len(t))
		}
	}
	return nil
}

func (e *entity) check() error {
	if len(e.Attrs) > maxAttrs {
		return fmt.Errorf("%w: an entity has %d attributes", ErrDamaged, len(e.Attrs))
	}
	for k, v := range e.Attrs {
		if err := checkTexts(k, v); err != nil {
			return err
		}
	}
	return checkTexts(e.ID, e.Parent)
}

// check rejects stalls with impossible times.
func (s *stall) check() error {
	for _, v := range []float64{s.Duration, s.Parts.CPU, s.Parts.RunQueue, s.Parts.Throttled, s.Parts.Blocked, s.Parts.PageFault} {
		if !valid(v) || v > math.MaxInt64/1e9 {
			return fmt.Errorf("%w: a stall of %g s", ErrDamaged, v)
		}
	}
	return checkTexts(s.Syscall)
}

// leaveOut adds a gap for a value that was ignored. It is the same gap each time.
func (r *Reader) leaveOut(metric string) {
	r.snapshot.Gap(GapRecording, fmt.Sprintf("the recording has impossible values of %s: they are ignored", metric),
		"record again; the file was changed, or the version that wrote it has a fault")
}
