// SPDX-License-Identifier: Apache-2.0

package fd

import (
	"errors"
	"time"

	"github.com/headroom-project/headroom/bpf/files"
	"github.com/headroom-project/headroom/bpf/support"
)

const (
	// nearLimit is the share of its limit from which a process's refused calls are
	// counted.
	nearLimit = 0.9
	// watchFor is how long they are still counted after the last process was near its
	// limit. Attaching takes some milliseconds, so it should not be repeated often.
	watchFor = 60 * time.Second
)

// A watch counts refused calls while any process is near its limit. It is off
// otherwise: the calls that create descriptors are on hot paths.
type watch struct {
	until time.Duration        // boot time
	err   *support.Unsupported // reason why it cannot be switched on
}

func (h *held) isNear() bool {
	return h.limited && h.soft > 0 && float64(h.fds) >= nearLimit*float64(h.soft)
}

// adjust switches the watch on or off depending on the processes in this pass.
func (w *watch) adjust(r *reader, probe *files.Probe) {
	for _, p := range r.procs {
		if p.round == r.round && p.held.isNear() {
			w.until = r.now + watchFor
			break
		}
	}
	if r.now >= w.until {
		w.err = nil
		_ = probe.Unwatch() //nolint:errcheck // a failure costs a few nanoseconds per call
		return
	}
	if err := probe.Watch(); err != nil && !errors.As(err, &w.err) {
		w.err = &support.Unsupported{Reason: err.Error()}
	}
}

// read records the refused calls, and zero for watched processes without any.
func (w *watch) read(r *reader, probe *files.Probe) error {
	if w.until == 0 {
		return nil
	}
	if probe.Watching() {
		for _, p := range r.procs {
			p.held.refusedSeen = p.held.isNear()
		}
	}
	return probe.ReadRefused(func(tgid uint32, calls uint64) bool {
		p := r.procs[int(tgid)]
		if p == nil || p.round != r.round {
			return false
		}
		p.held.refused, p.held.refusedSeen = calls, true
		return true
	})
}
