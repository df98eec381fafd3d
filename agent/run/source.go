// SPDX-License-Identifier: Apache-2.0

package run

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

// A source is one sampler with its reader and its own snapshot. While a reading is in
// progress the snapshot belongs to the reading goroutine, which returns it through
// done.
type source struct {
	sampler *sampler.Sampler
	reader  sampler.Reader
	openErr error
	own     *observe.Snapshot
	next    time.Time
	reading bool
	// late is set if the reading in progress was already waited for once.
	late  bool
	done  chan outcome
	ready chan opening // while it is being opened
	stats Stats
}

// An opening is the result of opening a sampler.
type opening struct {
	reader sampler.Reader
	err    error
}

// errOpening is the error of a sampler that is not open yet.
var errOpening = errors.New("opening the source takes too long: it reports nothing until that ends")

// An outcome is the result of a reading.
type outcome struct {
	err  error
	took time.Duration
}

// Stats are the statistics of a sampler.
type Stats struct {
	Name string
	// Open is set if it could be opened.
	Open bool
	// Reads counts completed readings, Failures those that failed, Late those that were
	// not waited for. Took is the total time of the readings, Last the time of the last
	// one.
	Reads, Failures, Late int
	Took, Last            time.Duration
	// Hangs is set while a reading that timed out has not returned.
	Hangs bool
	// Absent is set if this host, or the privileges of this process, do not offer the
	// source (sampler.ErrNotSupported): that does not change while this process runs.
	Absent bool
	// Failing is set if the last reading failed.
	Failing bool
}

// Faulty reports whether a source that could provide values does not: it hangs, fails,
// or is not open and not absent.
func (st Stats) Faulty() bool { return !st.Absent && (st.Hangs || st.Failing || !st.Open) }

func (src *source) account(o outcome) {
	src.stats.Reads++
	src.stats.Last = o.took
	src.stats.Took += o.took
	if o.err != nil {
		src.stats.Failures++
	}
	src.stats.Failing = o.err != nil
	src.stats.Absent = errors.Is(o.err, sampler.ErrNotSupported)
}

// openSource opens a sampler. It continues without the sampler after limit, and uses it
// as soon as it is open.
func openSource(s *sampler.Sampler, host *sampler.Host, limit time.Time) *source {
	src := &source{sampler: s, own: observe.NewSnapshot(host.Index), done: make(chan outcome, 1), ready: make(chan opening, 1)}
	ready := src.ready
	go func() {
		if err := host.View.Distrusted(s.Name); err != nil {
			ready <- opening{err: err}
			return
		}
		reader, err := s.Open(host)
		ready <- opening{reader, err}
	}()
	src.opened(wait(limit))
	return src
}

// wait returns the time until limit, but at least leastWait.
func wait(limit time.Time) time.Duration { return max(leastWait, time.Until(limit)) }

// opened waits for a sampler that is being opened.
func (src *source) opened(patience time.Duration) {
	if src.ready == nil {
		return
	}
	select {
	case o := <-src.ready:
		src.reader, src.openErr, src.ready = o.reader, sampler.Explain(o.err), nil
	case <-time.After(patience):
		src.openErr = errOpening
	}
}

// into adds the current values of the sampler to whole, if it is due, or the reason why
// there are none. It waits for a reading until limit.
func (src *source) into(whole *observe.Snapshot, now, limit time.Time, force bool) {
	src.opened(0)
	if src.openErr != nil {
		sampler.Gap(whole, src.sampler.Name, src.openErr)
		return
	}
	if !src.reading {
		if now.Before(src.next) && !force {
			return
		}
		src.start(now)
	}
	patience := wait(limit)
	if src.late {
		patience = 0
	}
	select {
	case o := <-src.done:
		src.reading, src.late = false, false
		src.account(o)
		if o.err != nil {
			sampler.Gap(whole, src.sampler.Name, o.err)
		}
		whole.Include(src.own)
	case <-time.After(patience):
		if !src.late {
			src.stats.Late++
		}
		src.late = true
		whole.Gap(src.sampler.Name, "a reading hangs: this source reports nothing until it ends",
			fmt.Sprintf("find out what it waits for: head /proc/%d/task/*/wchan", os.Getpid()))
	}
}

// start begins a reading in its own goroutine: the run can then continue if a read of
// /proc or of a cgroup file hangs in the kernel.
func (src *source) start(now time.Time) {
	src.reading = true
	// Half a second early counts as due, so that a rate that is a multiple of the tick
	// is not delayed by a tick each time.
	src.next = now.Add(src.sampler.Every - min(src.sampler.Every, 500*time.Millisecond))
	src.own.Reset()
	src.own.Monotonic = clock(unix.CLOCK_MONOTONIC)
	go func() {
		began := time.Now() // now is when the tick began, before the readings of others
		err := read(src.reader, src.own)
		src.done <- outcome{err, time.Since(began)}
	}()
}

// read turns a panic into an error: one sampler's bug must not end the run.
func read(r sampler.Reader, s *observe.Snapshot) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("internal error: %v", p)
		}
	}()
	return r.Read(s)
}

// hangs reports whether the sampler is still being opened or read after the last tick
// waited for it.
func (src *source) hangs() bool {
	src.opened(0)
	if src.reading {
		select {
		case <-src.done:
			src.reading = false
		default:
		}
	}
	return src.reading || src.ready != nil
}

func (src *source) close() error {
	if src.openErr != nil {
		return nil
	}
	return src.reader.Close()
}
