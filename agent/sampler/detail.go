// SPDX-License-Identifier: Apache-2.0

package sampler

import (
	"sync/atomic"

	"github.com/headroom-project/headroom/agent/observe"
)

// A Detail is how much detail samplers report, if memory does not suffice for all of it.
// The zero Detail is all. It is safe for concurrent use.
type Detail struct {
	processes atomic.Int64
	noThreads atomic.Bool

	leftOut  atomic.Pointer[map[int]uint64] // start time by pid
	followed atomic.Int64
}

// Keep sets how many processes are reported, 0 for all, and whether threads are.
func (d *Detail) Keep(processes int, threads bool) {
	d.processes.Store(int64(processes))
	d.noThreads.Store(!threads)
}

// Processes returns how many processes are reported; 0 means all.
func (d *Detail) Processes() int { return int(d.processes.Load()) }

// Threads reports whether threads are entities of their own.
func (d *Detail) Threads() bool { return !d.noThreads.Load() }

// Chose sets which processes are left out, by pid and start time, and how many
// are followed. The caller must not use leftOut afterwards.
func (d *Detail) Chose(leftOut map[int]uint64, followed int) {
	d.followed.Store(int64(followed))
	if len(leftOut) == 0 {
		d.leftOut.Store(nil)
		return
	}
	d.leftOut.Store(&leftOut)
}

// Counts returns how many processes are reported, and how many are left out.
func (d *Detail) Counts() (followed, leftOut int) {
	if out := d.leftOut.Load(); out != nil {
		leftOut = len(*out)
	}
	return int(d.followed.Load()), leftOut
}

func (d *Detail) without(pid int) (start uint64, ok bool) {
	out := d.leftOut.Load()
	if out == nil {
		return 0, false
	}
	start, ok = (*out)[pid]
	return start, ok
}

// Identity returns an Identity that does not know the processes that are left out, so
// that no sampler reports them.
func (d *Detail) Identity(inner Identity) Identity { return &detailed{inner, d} }

type detailed struct {
	Identity
	detail *Detail
}

// Process implements Identity.
func (i *detailed) Process(pid int, start uint64) (observe.ID, bool) {
	if without, ok := i.detail.without(pid); ok && without == start {
		return observe.None, false
	}
	return i.Identity.Process(pid, start)
}

// Current implements Identity. A pid that was reused just now is not known until the next
// reading of processes.
func (i *detailed) Current(pid int) (observe.ID, bool) {
	if _, ok := i.detail.without(pid); ok {
		return observe.None, false
	}
	return i.Identity.Current(pid)
}
