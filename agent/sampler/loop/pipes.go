// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// pipes finds the process at the other end of a pipe by reading the descriptors of the
// host. It does so only for pipes that block a loop, and reads a part of the
// descriptors at each reading.
type pipes struct {
	proc procDir
	// wanted are the pipes to find, by inode.
	wanted map[uint64]*pipe
	// pids are the processes that the pass in progress has not read yet.
	pids    []int
	started time.Time
}

// A pipe is a pipe that blocks a loop.
type pipe struct {
	asked, passed time.Time // passed: when the last complete pass began
	readers       []int
	writers       []int
}

const (
	// maxPipes limits the pipes that are searched for at a time.
	maxPipes = 32
	// linksPerLook limits the descriptors that are read at one reading: 10 ms.
	linksPerLook = 4000
	// forgetPipe is how long after it last blocked a loop a pipe is dropped.
	forgetPipe = time.Minute
	// lookAgain is the time from a pass that did not find an end to the next one.
	lookAgain = 10 * time.Second
)

func newPipes(proc procDir) *pipes {
	return &pipes{proc: proc, wanted: make(map[uint64]*pipe)}
}

// peer returns a process at the other end of a pipe that pid reads, or writes if reads
// is false. It returns 0 if none is known yet.
func (p *pipes) peer(pid int, reads bool, inode uint64) int {
	w := p.wanted[inode]
	if w == nil {
		if len(p.wanted) >= maxPipes {
			return 0
		}
		w = &pipe{}
		p.wanted[inode] = w
		p.lookAtChildren(pid)
	}
	w.asked = time.Now()
	ends := &w.readers
	if reads {
		ends = &w.writers
	}
	*ends = slices.DeleteFunc(*ends, func(end int) bool {
		_, err := os.Stat(p.proc.file(end, "fd"))
		return err != nil
	})
	// The last one is usually the newest: a child that was started for the pipe.
	for _, end := range slices.Backward(*ends) {
		if end != pid {
			return end
		}
	}
	return 0
}

// look continues the pass through the processes of the host, or begins one if a
// requested pipe has no known ends.
func (p *pipes) look() {
	now := time.Now()
	for inode, w := range p.wanted {
		if now.Sub(w.asked) > forgetPipe {
			delete(p.wanted, inode)
		}
	}
	if len(p.pids) == 0 && !p.begin(now) {
		return
	}
	links := 0
	for len(p.pids) > 0 && links < linksPerLook {
		links += p.lookAt(p.pids[0])
		p.pids = p.pids[1:]
	}
	if len(p.pids) > 0 {
		return
	}
	for _, w := range p.wanted {
		if w.asked.Before(p.started) {
			w.passed = p.started
		}
	}
}

func (p *pipes) begin(now time.Time) bool {
	open := false
	for _, w := range p.wanted {
		open = open || (len(w.readers) == 0 || len(w.writers) == 0) && now.Sub(w.passed) > lookAgain
	}
	if !open {
		return false
	}
	names, err := readNames(string(p.proc), -1)
	if err != nil {
		return false
	}
	for _, n := range names {
		if pid, err := strconv.Atoi(n); err == nil {
			p.pids = append(p.pids, pid)
		}
	}
	slices.Sort(p.pids)
	p.started = now
	return true
}

// lookAtChildren reads the descriptors of the processes that the main thread of pid
// started: a new pipe often belongs to one of them, and they can end within a second.
func (p *pipes) lookAtChildren(pid int) {
	for _, child := range p.proc.children(pid) {
		p.lookAt(child)
	}
}

// lookAt records which ends of wanted pipes a process has open, and returns how many
// descriptors it has.
func (p *pipes) lookAt(pid int) int {
	fds, err := readNames(p.proc.file(pid, "fd"), -1)
	if err != nil {
		return 1 // ended, or another user's
	}
	for _, fd := range fds {
		link, err := os.Readlink(p.proc.file(pid, "fd/"+fd))
		if err != nil {
			continue
		}
		if w := p.wanted[pipeInode(link)]; w != nil {
			p.note(w, pid, fd)
		}
	}
	return 1 + len(fds)
}

// pipeInode parses the link of a descriptor, such as pipe:[1234], and returns 0 if it
// is not a pipe. A named pipe is not found, because its link is its path.
func pipeInode(link string) uint64 {
	number, ok := strings.CutPrefix(link, "pipe:[")
	if !ok {
		return 0
	}
	inode, err := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 64)
	if err != nil {
		return 0
	}
	return inode
}

func (p *pipes) note(w *pipe, pid int, fd string) {
	reads, writes, ok := p.mode(pid, fd)
	if ok && reads && !slices.Contains(w.readers, pid) {
		w.readers = append(w.readers, pid)
	}
	if ok && writes && !slices.Contains(w.writers, pid) {
		w.writers = append(w.writers, pid)
	}
}

// mode reports whether a descriptor is open for reading and for writing, by the flags
// of open(2) in /proc/PID/fdinfo/FD.
func (p *pipes) mode(pid int, fd string) (reads, writes, ok bool) {
	info, err := os.ReadFile(p.proc.file(pid, "fdinfo/"+fd))
	if err != nil {
		return false, false, false
	}
	text, _ := field(info, "flags:")
	flags, err := strconv.ParseUint(text, 8, 64)
	if err != nil {
		return false, false, false
	}
	access := int(flags) & (os.O_RDONLY | os.O_WRONLY | os.O_RDWR)
	return access != os.O_WRONLY, access != os.O_RDONLY, true
}
