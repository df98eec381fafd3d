// SPDX-License-Identifier: Apache-2.0

// Package run opens samplers, reads each of them at its own rate and gathers
// what they say into one snapshot a tick. A sampler that fails, panics or
// hangs becomes a Gap and takes nobody with it.
//
// It never judges a number: snapshots go to whoever asked for them.
package run

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

// DefaultInterval is the length of a step: eBPF maps are read each second
// (design: kernel maps every second).
const DefaultInterval = time.Second

// readDeadline is how long one reading may take before the tick goes on
// without it: long beside the 20 ms that all samplers take at 10,000 entities.
const readDeadline = 2 * time.Second

// Options configure a run.
type Options struct {
	Samplers []*sampler.Sampler
	Host     *sampler.Host
	// Interval is the length of a step; 0 is DefaultInterval.
	Interval time.Duration
}

// A Run is a set of opened samplers.
type Run struct {
	interval time.Duration
	host     *sampler.Host
	sources  []*source
	whole    *observe.Snapshot
}

// A SamplerStatus says whether a sampler could be opened, and why not.
type SamplerStatus struct {
	Sampler *sampler.Sampler
	Err     error
}

// Open opens every sampler. One that cannot be opened is a Gap in every
// snapshot and no error.
func Open(opts Options) *Run {
	r := &Run{interval: opts.Interval, host: opts.Host, whole: observe.NewSnapshot(opts.Host.Index)}
	if r.interval == 0 {
		r.interval = DefaultInterval
	}
	for _, s := range opts.Samplers {
		r.sources = append(r.sources, openSource(s, opts.Host))
	}
	return r
}

// Status says which samplers were opened.
func (r *Run) Status() []SamplerStatus {
	var all []SamplerStatus
	for _, s := range r.sources {
		all = append(all, SamplerStatus{Sampler: s.sampler, Err: s.openErr})
	}
	return all
}

// Stats says what each sampler did so far. Like Observe's callback, from which
// it may be called, it is not for use beside a snapshot being taken.
func (r *Run) Stats() []Stats {
	all := make([]Stats, 0, len(r.sources))
	for _, s := range r.sources {
		st := s.stats
		st.Name, st.Open, st.Hangs = s.sampler.Name, s.openErr == nil, s.late
		all = append(all, st)
	}
	return all
}

// Observe takes a snapshot now, one after each interval, and a last one when d
// has passed or ctx ends, whichever comes first. It hands each to each, for
// the length of the call. The end of ctx is no error.
func (r *Run) Observe(ctx context.Context, d time.Duration, each func(*observe.Snapshot) error) error {
	end := time.Now().Add(d)
	for last := false; ; {
		err := each(r.gather(last))
		r.whole.Release()
		if err != nil || last {
			return err
		}
		next := time.NewTimer(r.nextStep(time.Until(end)))
		select {
		case <-ctx.Done():
			last = true
		case <-next.C:
			last = time.Until(end) <= 0
		}
		next.Stop()
	}
}

// nextStep is how long to wait for the next snapshot: an interval, or all that
// is left when what would remain after it is too short for a rate.
func (r *Run) nextStep(left time.Duration) time.Duration {
	if left < r.interval+r.interval/2 {
		return max(0, left)
	}
	return r.interval
}

// gather reads the samplers that are due, or all of them for the last
// snapshot, so that slow ones are as fresh as the rest.
func (r *Run) gather(all bool) *observe.Snapshot {
	s := r.whole
	now := time.Now()
	for _, src := range r.sources {
		src.into(s, now, all)
	}
	s.Time = now.UTC()
	s.Monotonic = clock(unix.CLOCK_MONOTONIC)
	s.BootTime = clock(unix.CLOCK_BOOTTIME)
	return s
}

func clock(id int32) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		return 0 // cannot happen: both clocks exist since Linux 2.6.39
	}
	return time.Duration(ts.Nano())
}

// Close closes samplers and the probes that they share. A reader that still
// hangs is left to the end of the process.
func (r *Run) Close() error {
	var errs []error
	for _, s := range r.sources {
		if err := s.close(); err != nil {
			errs = append(errs, fmt.Errorf("closing sampler %s: %w", s.sampler.Name, err))
		}
	}
	if r.host.Probes != nil {
		errs = append(errs, r.host.Probes.Close())
	}
	return errors.Join(errs...)
}
