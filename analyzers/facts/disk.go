// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"math"
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// FlushCalls are the system calls whose purpose is to wait for a disk.
var FlushCalls = []string{"fsync", "fdatasync", "msync", "sync", "syncfs", "sync_file_range"}

// Flushes reports whether a call waits until the disk has the data: a flush, or a write to
// a file that is open with O_SYNC, O_DSYNC or O_DIRECT.
func (p *Pass) Flushes(by BlockedBy) bool {
	return slices.Contains(FlushCalls, by.Syscall) || p.OpenFlag(by) != ""
}

// OpenFlag returns the flag of open(2) because of which a write waits for the disk, "" if
// there is none.
func (p *Pass) OpenFlag(by BlockedBy) string { return p.callAttr(by, catalog.AttrWaitsForDisk) }

// FileCalls are those that wait for a disk if they access a file that is not in
// memory, and for something else if they access a pipe or a socket.
var FileCalls = []string{"open", "openat", "openat2", "read", "readv", "pread64", "preadv", "preadv2", "write", "writev", "pwrite64", "pwritev", "pwritev2", "fallocate", "stat", "lstat", "statx", "newfstatat",
	"access", "getdents64", "unlink", "unlinkat", "rename", "mkdir", "ftruncate", "sendfile", "copy_file_range", "close"}

// DiskWait returns the time, in seconds, for which a loop's long ticks waited for a
// disk: in flushes, in page faults, and in other calls about files. Of the latter
// it counts at most the time in which any task around it waited for a disk (PSI io
// some). This does not limit flushes: the kernel does not count a wait for the
// commit of a journal as I/O wait.
func (p *Pass) DiskWait(l *LoopView) float64 {
	files, flushes := l.Long.PageFault, 0.0
	for _, by := range p.BlockedBy(l) {
		switch {
		case by.Kind != "" && by.Kind != catalog.TargetFile:
			// a pipe or a socket
		case p.Flushes(by):
			flushes += by.Seconds
		case slices.Contains(FileCalls, by.Syscall):
			files += by.Seconds
		}
	}
	return min(l.Long.Blocked+l.Long.PageFault, flushes+min(files, p.ioWait(l.ID)))
}

// ioWait returns the time for which tasks waited for a disk, on the host, in a
// cgroup around id or in its process; infinite if it is not counted. The host's
// count alone is too low if other work runs: it is the average over CPUs, weighted
// by how busy each is (collect_percpu_times in kernel/sched/psi.c).
func (p *Pass) ioWait(id observe.ID) float64 {
	most, known := 0.0, false
	take := func(m *observe.Metric, at observe.ID) {
		if some, ok := p.Increase(m, at); ok {
			most, known = max(most, some), true
		}
	}
	if node, ok := p.Node(); ok {
		take(catalog.HostIOSome, node)
	}
	for at := range p.Cgroups(id) {
		take(catalog.CgroupIOSome, at)
	}
	if !known {
		return math.Inf(1)
	}
	return max(most, p.seenWaiting(id))
}

// seenWaiting returns the time for which id's process waited for a disk, from the
// share of the readings in which one of its threads did.
func (p *Pass) seenWaiting(id observe.ID) float64 {
	process, ok := p.Index.Ancestor(id, observe.Process)
	if !ok {
		return 0
	}
	readings := p.Points(catalog.ProcessDiskWaiting, process)
	seen := 0.0
	for _, r := range readings {
		seen += min(1, r.Value)
	}
	return p.Seconds * seen / float64(max(1, len(readings)))
}
