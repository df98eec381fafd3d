// SPDX-License-Identifier: Apache-2.0

package fd

import (
	"errors"
	"time"

	"github.com/headroom-project/headroom/bpf/files"
	"github.com/headroom-project/headroom/bpf/support"
)

const (
	// nearLimit is the share of its limit from which a process's refused calls
	// are worth counting.
	nearLimit = 0.9
	// watchFor is how long they are counted after the last process was near:
	// attaching takes some milliseconds, so that it is not done at each turn.
	watchFor = 60 * time.Second
)

// A watch counts refused calls while some process is near its limit. It is not
// on before: the calls that make descriptors are on hot paths.
type watch struct {
	until time.Duration        // boot time
	err   *support.Unsupported // why it cannot be on
}

func (h *held) isNear() bool {
	return h.limited && h.soft > 0 && float64(h.fds) >= nearLimit*float64(h.soft)
}

// adjust switches the watch on or off by what this pass found.
func (w *watch) adjust(r *reader, probe *files.Probe) {
	for _, p := range r.procs {
		if p.round == r.round && p.held.isNear() {
			w.until = r.now + watchFor
			break
		}
	}
	if r.now >= w.until {
		w.err = nil
		_ = probe.Unwatch() //nolint:errcheck // nothing is lost but nanoseconds
		return
	}
	if err := probe.Watch(); err != nil && !errors.As(err, &w.err) {
		w.err = &support.Unsupported{Reason: err.Error()}
	}
}

// read notes what was refused, also nothing to those that are watched.
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
