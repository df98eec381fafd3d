// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"fmt"
	"slices"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// The probe does not observe waits in io_uring_enter, so it does not find a loop that
// waits only there. Its process is named in a Gap: silence about it means nothing.

const (
	// ringSearch is the time between two searches for processes that wait in io_uring.
	ringSearch = time.Minute
	// maxRings is the maximum number of processes that are named.
	maxRings = 16
)

// ring is a process that waits for its clients in io_uring.
type ring struct {
	process observe.ID
	pid     int
}

// findRings searches for processes that wait for their clients in io_uring. It leaves
// out the runtimes that wait in epoll even where they use io_uring for files.
func (r *reader) findRings() {
	began := time.Now()
	if began.Sub(r.ringsAt) < ringSearch || !r.host.Turn(r.ringsTook) {
		return
	}
	defer func() { r.ringsAt, r.ringsTook = began, time.Since(began) }()
	r.rings = nil
	served := make(sockets)
	for id, pid := range r.processes() {
		if slices.Contains(mainLoops, r.host.Index.Attr(id, catalog.AttrRuntime)) || !r.lives(id, pid) || !r.servesByRing(pid, served) {
			continue
		}
		if r.rings = append(r.rings, ring{id, pid}); len(r.rings) == maxRings {
			break
		}
	}
}

// servesByRing reports whether a process serves clients, has an io_uring, and has
// nothing else in which it could wait for them. A database that uses io_uring for its
// files waits for clients in poll or accept.
func (r *reader) servesByRing(pid int, served sockets) bool {
	d := r.descriptors(pid)
	if !d.onlyRing() || !served.any(r, pid, d.all()) {
		return false
	}
	return !slices.ContainsFunc(r.tids(pid), func(tid int) bool {
		call, _ := r.waitCall(pid, tid)
		return call != "" && call != "io_uring_enter"
	})
}

// tellRings names the processes that wait in io_uring and still run.
func (r *reader) tellRings(s *observe.Snapshot) {
	for _, p := range r.rings {
		if !r.lives(p.process, p.pid) {
			continue
		}
		s.ProcessGap(p.process, "loop", fmt.Sprintf("%s (pid %d) waits for its clients in io_uring, which is not observed: a busy or blocked event loop in it is not found", r.command(p.process), p.pid),
			"if the program can wait in epoll instead, configure it to do so; otherwise measure the latency of its requests")
	}
}
