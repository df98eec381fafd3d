// SPDX-License-Identifier: Apache-2.0

// Package filesystem samples the space and the inodes of local file systems, and, of those
// that are almost full or fill quickly, the files that processes have open on them: deleted
// files keep their space until they are closed. It reads names and sizes of open files,
// never their content, and asks no file server.
package filesystem

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/patience"
	"github.com/headroom-project/headroom/agent/sampler"
)

const name = "filesystem"

// Sampler reads the local file systems of the host.
var Sampler = &sampler.Sampler{
	Name: name,
	Doc:  "Reads the space and inodes of each local file system (statfs), and, of those that are almost full or fill within hours, the size of the files that processes have open on them, deleted ones included (/proc/PID/fd).",
	Provides: []*observe.Metric{catalog.FilesystemUsed, catalog.FilesystemFree, catalog.FilesystemReserved,
		catalog.FilesystemInodesUsed, catalog.FilesystemInodesFree, catalog.FilesystemDeleted,
		catalog.OpenFilesSize, catalog.OpenFilesDeleted},
	Open: open,
}

const (
	// maxFilesystems is the maximum number of file systems read. A node of 250 pods has
	// two tmpfs for each, mostly of a few kilobytes.
	maxFilesystems = 600
	// mountsEvery is the time after which the list of mounts is read again.
	mountsEvery = 30 * time.Second
	// restEvery is the number of readings over which file systems with much free space
	// are spread.
	restEvery = 5
	// almostFull is the share of the space, or of the inodes, from which a file system is
	// read at each reading, and its open files are.
	almostFull = 0.8
	// soon is the time to full, at the growth since the last reading, from which the same
	// holds.
	soon = 4 * time.Hour
	// rest is the pause after a pass over the open files of all processes, as a multiple of
	// its CPU time, restSparing the same in an agent; shortest is the minimum pause.
	rest, restSparing         = 100, 400
	shortest, shortestSparing = 3 * time.Second, 15 * time.Second
)

type reader struct {
	proc     string
	fs       procfs.FS
	index    *observe.Index
	identity sampler.Identity
	patience *patience.Patience
	turn     func(took time.Duration) bool
	sparing  bool
	node     observe.ID
	pid      int // file systems are found in its mount namespace

	readings int
	mounts   time.Time // of the next reading of the mounts
	volumes  []*volume
	byDevice map[uint64]*volume // also by the devices of overlays on it
	full     int                // file systems over maxFilesystems
	unread   map[*volume]bool

	next time.Time // of the next pass over open files
	took time.Duration
	held map[holding]*held
	pass int
	// counts is set if the size of /proc/PID/fd is the number of descriptors, since Linux
	// 6.2 (f1f1f2569901).
	counts bool
	gone   bool // descriptors of a process may not be listed
	cut    bool
}

// first is the process in whose mount namespace file systems are found.
const first = 1

func open(h *sampler.Host) (sampler.Reader, error) {
	fs, err := procfs.NewFS(h.Proc)
	if err != nil {
		return nil, sampler.Unreadable(h.Proc, err, sampler.NotSupported("mount /proc, in a container the host's", "there is no %s", h.Proc))
	}
	r := &reader{
		proc: h.Proc, fs: fs, index: h.Index, identity: h.Identity, patience: h.Patience, turn: h.Turn, sparing: h.Sparing,
		node: h.Index.ID(observe.Entity{Kind: observe.Node, ID: catalog.NodeID}),
		held: make(map[holding]*held),
	}
	var st unix.Stat_t
	r.counts = unix.Stat(h.Proc+"/self/fd", &st) == nil && st.Size > 0
	r.pid, err = viewpoint(h.Proc)
	return r, err
}

// viewpoint returns a process whose root directory headroom can access and whose mounts are
// those of the host: the first process, or headroom itself if it has the same mounts.
func viewpoint(proc string) (pid int, err error) {
	path := filepath.Join(proc, "1/mountinfo")
	mounts, err := os.ReadFile(path)
	if err != nil {
		return 0, sampler.Unreadable(path, err, sampler.NotSupported("run in a container with the host's processes (hostPID: true)", "the mounts of the host are not known: there is no %s", path))
	}
	if _, err := os.Readlink(filepath.Join(proc, "1", patience.Root)); err == nil {
		return first, nil
	}
	own, err1 := os.ReadFile(filepath.Join(proc, "self/mountinfo"))
	self, err2 := os.Readlink(filepath.Join(proc, "self"))
	pid, err3 := strconv.Atoi(self)
	if errors.Join(err1, err2, err3) != nil || !bytes.Equal(own, mounts) {
		return 0, sampler.NotSupported("run as root with CAP_SYS_PTRACE", "the file systems of the host cannot be accessed: %s is not allowed", filepath.Join(proc, "1", patience.Root))
	}
	return pid, nil
}

// Read implements sampler.Reader.
func (r *reader) Read(s *observe.Snapshot) error {
	r.readings++
	now := time.Now()
	if now.After(r.mounts) {
		if err := r.find(s); err != nil {
			return fmt.Errorf("read mounts: %w", err)
		}
		r.mounts = now.Add(mountsEvery)
	}
	watched := false
	for i, v := range r.volumes {
		if v.reads == 0 || v.watched && !r.sparing || (r.readings+i)%restEvery == 0 {
			r.read(s, v, now)
		}
		watched = watched || v.watched
	}
	if watched && now.After(r.next) && r.turn(r.took) {
		if err := r.survey(s); err != nil {
			return fmt.Errorf("read open files: %w", err)
		}
		r.schedule(now)
	}
	r.gaps(s)
	return nil
}

// survey makes a pass over the open files. It locks its thread, because it measures the
// thread's CPU time.
func (r *reader) survey(s *observe.Snapshot) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began := threadCPU()
	err := r.walk(s)
	r.took = threadCPU() - began
	return err
}

func (r *reader) schedule(now time.Time) {
	factor, least := time.Duration(rest), shortest
	if r.sparing {
		factor, least = restSparing, shortestSparing
	}
	r.next = now.Add(max(least, factor*r.took))
}

func threadCPU() time.Duration {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now) != nil {
		return 0 // cannot happen: every supported kernel has it
	}
	return time.Duration(now.Nano())
}

func (r *reader) gaps(s *observe.Snapshot) {
	if len(r.volumes) == 0 {
		s.Gap(name, "no local file system that can be written to is mounted, so no space and inodes are observed", "")
	}
	if r.full > 0 {
		s.Gap(name, fmt.Sprintf("the limit of %d file systems was reached: %d file systems are not observed", maxFilesystems, r.full), "")
	}
	if n := len(r.unread); n > 0 {
		s.Gap(name, fmt.Sprintf("the space of %d file systems is not known, of %s among them: it cannot be read", n, r.firstUnread()), "run as root, and look for errors of their devices: dmesg | tail -50")
	}
	if r.gone {
		s.Gap(name, "deleted files that are still open are not all known: the descriptors of some processes may not be listed", "run as root, in a container with the host's /proc and CAP_SYS_PTRACE")
	}
	if r.cut {
		s.Gap(name, fmt.Sprintf("open files are not all read: a process has more than %d descriptors", maxListed), "")
	}
}

// firstUnread returns the first mount point, so that the text of the gap stays the same.
func (r *reader) firstUnread() string {
	point := ""
	for v := range r.unread {
		if point == "" || v.point < point {
			point = v.point
		}
	}
	return point
}

// Close implements sampler.Reader.
func (*reader) Close() error { return nil }
