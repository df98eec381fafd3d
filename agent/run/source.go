// SPDX-License-Identifier: Apache-2.0

package run

import (
	"errors"
	"fmt"
	"time"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

// A source is one sampler with its reader and a snapshot of its own. While a
// reading is under way that snapshot belongs to the reading goroutine; it
// comes back through done.
type source struct {
	sampler *sampler.Sampler
	reader  sampler.Reader
	openErr error
	own     *observe.Snapshot
	next    time.Time
	reading bool
	// late says that the reading under way was already waited for once.
	late  bool
	done  chan outcome
	stats Stats
}

// An outcome is how a reading went.
type outcome struct {
	err  error
	took time.Duration
}

// Stats is what a sampler did so far.
type Stats struct {
	Name string
	// Open says that it could be opened.
	Open bool
	// Reads counts readings that ended, Failures those that failed, Late those
	// that were not waited for. Took is all the time that they took, Last that of
	// the last one.
	Reads, Failures, Late int
	Took, Last            time.Duration
	// Hangs says that a reading is under way that was not waited for.
	Hangs bool
}

func (src *source) account(o outcome) {
	src.stats.Reads++
	src.stats.Last = o.took
	src.stats.Took += o.took
	if o.err != nil {
		src.stats.Failures++
	}
}

func openSource(s *sampler.Sampler, host *sampler.Host) *source {
	src := &source{sampler: s, own: observe.NewSnapshot(host.Index), done: make(chan outcome, 1)}
	src.reader, src.openErr = s.Open(host)
	return src
}

// into adds to whole what the sampler says now, if it is due, or why it says
// nothing.
func (src *source) into(whole *observe.Snapshot, now time.Time, force bool) {
	if src.openErr != nil {
		gap(whole, src.sampler.Name, src.openErr)
		return
	}
	if !src.reading {
		if now.Before(src.next) && !force {
			return
		}
		src.start(now)
	}
	patience := readDeadline
	if src.late {
		patience = 0
	}
	select {
	case o := <-src.done:
		src.reading, src.late = false, false
		src.account(o)
		if o.err != nil {
			gap(whole, src.sampler.Name, o.err)
		}
		whole.Include(src.own)
	case <-time.After(patience):
		if !src.late {
			src.stats.Late++
		}
		src.late = true
		whole.Gap(src.sampler.Name, fmt.Sprintf("a reading took longer than %v and was not waited for", readDeadline), "")
	}
}

// start begins a reading in a goroutine of its own: the only way to go on when
// a read of /proc or of a cgroup file hangs in the kernel. close waits for it.
func (src *source) start(now time.Time) {
	src.reading = true
	// Half a second early counts as due, so that rates which are multiples of
	// the tick do not slip by a tick each time.
	src.next = now.Add(src.sampler.Every - min(src.sampler.Every, 500*time.Millisecond))
	src.own.Reset()
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

func gap(whole *observe.Snapshot, name string, err error) {
	var u *sampler.Unsupported
	if errors.As(err, &u) {
		whole.Gap(name, u.Reason, u.Cure)
		return
	}
	whole.Gap(name, err.Error(), "")
}

// close waits for a reading under way, as long as one may take.
func (src *source) close() error {
	if src.openErr != nil {
		return nil
	}
	if src.reading {
		select {
		case <-src.done:
		case <-time.After(readDeadline):
			return errors.New("a reading hangs; not closed")
		}
	}
	return src.reader.Close()
}
