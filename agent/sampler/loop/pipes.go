// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/headroom-project/headroom/agent/sampler"
)

// pipes finds the process at the other end of a pipe by reading the descriptors of the
// host. It does so only for pipes that block a loop, and reads a part of the
// descriptors at each reading.
type pipes struct {
	proc   procDir
	wanted map[pipeID]*pipe
	// pids are the processes that the pass in progress has not read yet.
	pids    []int
	started time.Time
}

// A pipeID identifies a pipe. The name is that of a FIFO in its folder, "" for a pipe
// without a name: an inode number identifies a FIFO only together with its file system.
type pipeID struct {
	inode uint64
	name  string
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
	return &pipes{proc: proc, wanted: make(map[pipeID]*pipe)}
}

// peer returns a process at the other end of a pipe that pid reads, or writes if reads
// is false. It returns 0 if none is known yet.
func (p *pipes) peer(pid int, reads bool, id pipeID) int {
	w := p.wanted[id]
	if w == nil {
		if len(p.wanted) >= maxPipes {
			return 0
		}
		w = &pipe{}
		p.wanted[id] = w
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
	for id, w := range p.wanted {
		if now.Sub(w.asked) > forgetPipe {
			delete(p.wanted, id)
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
	pids, err := sampler.PIDs(string(p.proc))
	if err != nil {
		return false
	}
	slices.Sort(pids)
	p.pids = pids
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
		if id := p.idOf(pid, fd, link); id.inode != 0 {
			p.note(p.wanted[id], pid, fd)
		}
	}
	return 1 + len(fds)
}

// idOf returns the wanted pipe to which a descriptor with this link refers.
func (p *pipes) idOf(pid int, fd, link string) pipeID {
	id := pipeID{inode: pipeInode(link)}
	if id.inode == 0 && p.wantsNamed(filepath.Base(link)) {
		own, _ := p.proc.descriptor(pid, fd)
		id = pipeID{own.inode, filepath.Base(link)}
	}
	if p.wanted[id] == nil {
		return pipeID{}
	}
	return id
}

// wantsNamed reports whether a FIFO with this name is wanted.
func (p *pipes) wantsNamed(name string) bool {
	for id := range p.wanted {
		if id.name != "" && id.name == name {
			return true
		}
	}
	return false
}

// pipeInode parses the link of a descriptor, such as pipe:[1234], and returns 0 if it
// is not a pipe without a name.
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
	own, ok := p.proc.descriptor(pid, fd)
	access := own.flags & (os.O_RDONLY | os.O_WRONLY | os.O_RDWR)
	reads, writes := access != os.O_WRONLY, access != os.O_RDONLY
	if ok && reads && !slices.Contains(w.readers, pid) {
		w.readers = append(w.readers, pid)
	}
	if ok && writes && !slices.Contains(w.writers, pid) {
		w.writers = append(w.writers, pid)
	}
}
