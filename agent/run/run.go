// SPDX-License-Identifier: Apache-2.0

// Package run opens samplers, reads each of them at its own rate and joins their values
// into one snapshot per tick. A sampler that fails, panics or hangs becomes a Gap and does
// not delay the others.
//
// It does not interpret numbers: it passes snapshots to its caller.
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

const (
	// readDeadline is how long a tick waits for the readings of all samplers before it
	// continues without those in progress. Readings take 20 ms at 10,000 entities.
	readDeadline = 2 * time.Second
	// lastDeadline is the same for the last tick of a run that is being stopped.
	lastDeadline = time.Second
	// leastWait is the minimum time to wait for a reading after others used up the
	// time.
	leastWait = 50 * time.Millisecond
	// openDeadline is how long to wait until all samplers are open. Loading eBPF
	// takes seconds on a slow machine.
	openDeadline = 20 * time.Second
	// closeDeadline limits the time for closing. The kernel closes what is open when
	// the process ends.
	closeDeadline = time.Second
)

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

// A SamplerStatus is whether a sampler could be opened, and if not, why.
type SamplerStatus struct {
	Sampler *sampler.Sampler
	Err     error
}

// Open opens all samplers. A sampler that cannot be opened is a Gap in every snapshot,
// not an error.
func Open(opts Options) *Run {
	r := &Run{interval: opts.Interval, host: opts.Host, whole: observe.NewSnapshot(opts.Host.Index)}
	if r.interval == 0 {
		r.interval = DefaultInterval
	}
	limit := time.Now().Add(openDeadline)
	for _, s := range opts.Samplers {
		r.sources = append(r.sources, openSource(s, opts.Host, limit))
	}
	return r
}

// Status returns which samplers were opened.
func (r *Run) Status() []SamplerStatus {
	var all []SamplerStatus
	for _, s := range r.sources {
		s.opened(0)
		all = append(all, SamplerStatus{Sampler: s.sampler, Err: s.openErr})
	}
	return all
}

// Stats returns the statistics of each sampler. It may be called from Observe's
// callback, but not while a snapshot is being taken.
func (r *Run) Stats() []Stats {
	all := make([]Stats, 0, len(r.sources))
	for _, s := range r.sources {
		st := s.stats
		st.Name, st.Open, st.Hangs = s.sampler.Name, s.openErr == nil, s.late
		st.Absent = st.Absent || errors.Is(s.openErr, sampler.ErrNotSupported)
		all = append(all, st)
	}
	return all
}

// Observe takes a snapshot now, one after each interval, and a last one when d has
// passed or ctx ends, whichever comes first. It passes each snapshot to each, which may
// use it for the duration of the call. The end of ctx is not an error.
func (r *Run) Observe(ctx context.Context, d time.Duration, each func(*observe.Snapshot) error) error {
	end := time.Now().Add(d)
	for last := false; ; {
		err := each(r.gather(ctx, last))
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

// nextStep returns how long to wait for the next snapshot: an interval, or all of the
// remaining time if less would remain after the interval than a rate needs.
func (r *Run) nextStep(left time.Duration) time.Duration {
	if left < r.interval+r.interval/2 {
		return max(0, left)
	}
	return r.interval
}

// gather reads the samplers that are due, or all of them for the last snapshot, so that
// slow samplers are as recent as the others.
func (r *Run) gather(ctx context.Context, all bool) *observe.Snapshot {
	s := r.whole
	s.Gaps = append(s.Gaps, r.host.View.Unseen()...)
	now := time.Now()
	limit := now.Add(readDeadline)
	if ctx.Err() != nil {
		limit = now.Add(lastDeadline)
	}
	for _, src := range r.sources {
		src.into(s, now, limit, all)
	}
	if r.host.Patience != nil {
		s.Gaps = append(s.Gaps, r.host.Patience.Gaps()...)
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

// Close closes samplers and their shared probes. A reader that is still reading stays
// open until the process ends, and so do the probes then, because the reading may use
// them.
func (r *Run) Close() error {
	closed := make(chan error, 1)
	go func() { closed <- r.close() }()
	select {
	case err := <-closed:
		return err
	case <-time.After(closeDeadline):
		return nil
	}
}

func (r *Run) close() error {
	var errs []error
	hangs := false
	for _, s := range r.sources {
		if s.hangs() {
			hangs = true
		} else if err := s.close(); err != nil {
			errs = append(errs, fmt.Errorf("closing sampler %s: %w", s.sampler.Name, err))
		}
	}
	if r.host.Probes != nil && !hangs {
		errs = append(errs, r.host.Probes.Close())
	}
	return errors.Join(errs...)
}
