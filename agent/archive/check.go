// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"fmt"
	"math"
	"time"

	"github.com/headroom-project/headroom/agent/observe"
)

// What a recording may hold in all.
const (
	// maxSnapshots is a day of seconds, and more.
	maxSnapshots = 100_000
	// maxEntities is as many as can be observed.
	maxEntities = observe.DefaultLimit
	// maxGaps bounds the gaps that differ; each source has a few.
	maxGaps = 5_000
	// maxEnded bounds the entities that went away.
	maxEnded = 1_000_000
	// maxLoops bounds the event loops with stalls: each keeps the longest.
	maxLoops = 10_000
	// maxText bounds a name: a path has 4 KiB.
	maxText = 16 << 10
	// maxAttrs bounds the attributes of an entity, which has a dozen.
	maxAttrs = 100
	// maxBefore bounds how long before its snapshot a value was read.
	maxBefore = time.Hour
	// maxCPUs is more than Linux knows.
	maxCPUs = 1 << 16
	// maxValue is the largest number that the kernel can say, 2^64.
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

// valid reports whether a value can be measured: samplers give no negative ones.
func valid(v float64) bool { return v >= 0 && v <= maxValue }

// checkTime refuses a snapshot that is not later than the one before.
func (r *Reader) checkTime(f *frame) error {
	if f.Monotonic < 0 || f.BootTime < 0 || r.snapshots > 0 && f.Monotonic <= int64(r.snapshot.Monotonic) {
		return fmt.Errorf("%w: a snapshot is not later than the one before it", ErrDamaged)
	}
	return nil
}

// count keeps account of what adds up over the recording.
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

// checkTexts refuses names that no host has.
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

// check refuses stalls whose times cannot be.
func (s *stall) check() error {
	for _, v := range []float64{s.Duration, s.Parts.CPU, s.Parts.RunQueue, s.Parts.Throttled, s.Parts.Blocked, s.Parts.PageFault} {
		if !valid(v) || v > math.MaxInt64/1e9 {
			return fmt.Errorf("%w: a stall of %g s", ErrDamaged, v)
		}
	}
	return checkTexts(s.Syscall)
}

// leaveOut adds a gap for a value that was ignored. The gap is the same each time.
func (r *Reader) leaveOut(metric string) {
	r.snapshot.Gap(GapRecording, fmt.Sprintf("the recording has impossible values of %s: they are ignored", metric),
		"record again; the file was changed, or the version that wrote it has a fault")
}
