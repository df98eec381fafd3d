// SPDX-License-Identifier: Apache-2.0

// Package patience makes system calls that can hang, and continues without those that do.
// Opening /proc/PID/exe accesses the file system of the executable: if a FUSE daemon or an
// NFS server has stopped answering, the call never returns. Reading a process's arguments
// waits for a lock on its memory.
//
// A thread in such a call cannot be stopped. The number of hanging calls is therefore
// limited, and a call that hangs is not repeated before it has returned.
package patience

import (
	"strings"
	"sync"
	"time"
)

const (
	// usual is the timeout of a call: it takes microseconds if
	// nothing hangs.
	usual = 100 * time.Millisecond
	// short is the timeout while many others hang: waiting for
	// all of them must fit into one reading of a sampler.
	short = 20 * time.Millisecond
	// many is the number of hanging calls above which the timeout is short.
	many = 4
	// maxHanging limits the calls of one kind that hang at a time, each of
	// which keeps a thread in the kernel: those that leave /proc, and those that
	// wait for the memory of a process.
	maxHanging = 64
)

// A Patience tracks which calls hang.
type Patience struct {
	proc string
	fuse func() string // the directory of the kernel's list of connections
	// most limits the calls of one kind that hang at a time.
	most    int
	mu      sync.Mutex
	hanging []*call
	// unasked has the calls that were not made, by the device of a FUSE connection that
	// seemed not to answer.
	unasked map[uint64]*call
}

// cgroupTrees is the directory at which cgroup hierarchies are mounted.
const cgroupTrees = "/sys/fs/cgroup"

// New returns a Patience for the /proc mounted at proc.
func New(proc string) *Patience {
	return &Patience{proc: proc, most: hangingLimit(proc, cgroupTrees), fuse: sync.OnceValue(listConnections), unasked: make(map[uint64]*call)}
}

// A Call describes a system call, for the decision whether to make it, and for the Gap if
// it hangs.
type Call struct {
	// Source is the sampler that makes the call, and Lost is what is unknown if it hangs:
	// "whether it is a Go program".
	Source, Lost string
	PID          int
	// File is the file below /proc/PID. Exe, Files, Root and what is below Root leave
	// /proc.
	File string
	// Patience is how long to wait, 0 for the usual time.
	Patience time.Duration
}

// Files of a process that a Call can ask for.
const (
	Exe     = "exe"     // the executable, on whatever file system it is
	Files   = "fd"      // the files that the process has open
	Root    = "root"    // a path below the process's root directory
	Cmdline = "cmdline" // the arguments, in the process's memory
	Maps    = "maps"    // its mappings: reading them waits for the lock of its memory
	Environ = "environ" // the environment, in the process's memory
)

// leaves reports whether the call can wait for a file system other than /proc.
func (c *Call) leaves() bool {
	return c.File == Exe || c.File == Files || c.File == Root || strings.HasPrefix(c.File, Root+"/")
}

// A call is a call in progress.
type call struct {
	Call
	dev  uint64 // of the file system that it waits for, 0 if not known
	link bool   // the call asks only for the identity of the file
	back bool
	name string
	at   mount
}

// Ask returns the result of read. It returns false if that takes too long, or if the call
// is known to hang. After a timeout read continues: memory that it writes to must be its
// own or locked.
func Ask[T any](p *Patience, c Call, read func() T) (answer T, ok bool) {
	under := &call{Call: c}
	if c.leaves() {
		id, ok := p.File(c)
		if !ok {
			return answer, false
		}
		under.dev = id.Dev
		if p.stalls(under) {
			return answer, false
		}
	}
	return wait(p, under, read)
}

func wait[T any](p *Patience, c *call, read func() T) (answer T, ok bool) {
	patience, ok := p.patience(c)
	if !ok {
		return answer, false
	}
	answer, ok = Within(patience, func() T { defer p.done(c); return read() })
	if !ok {
		p.hangs(c)
	}
	return answer, ok
}

// Within returns the result of read, and false if that takes longer than d; read then
// continues. It tracks nothing, and is for calls that are made once.
func Within[T any](d time.Duration, read func() T) (answer T, ok bool) {
	answers := make(chan T, 1)
	go func() { answers <- read() }()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case answer = <-answers:
		return answer, true
	case <-timer.C:
		return answer, false
	}
}

// patience returns the timeout of a call; false if it must not be made.
func (p *Patience) patience(c *call) (time.Duration, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, h := range p.hanging {
		if h.PID == c.PID && h.File == c.File && h.link == c.link || c.dev != 0 && h.dev == c.dev && h.blamesDevice() {
			return 0, false
		}
	}
	switch {
	case p.alike(c.leaves()) >= p.most:
		return 0, false
	case len(p.hanging) >= many:
		return short, true
	case c.Patience > 0:
		return c.Patience, true
	}
	return usual, true
}

// alike returns the number of calls of one kind that hang.
func (p *Patience) alike(leaves bool) int {
	n := 0
	for _, h := range p.hanging {
		if h.leaves() == leaves {
			n++
		}
	}
	return n
}

// hangs records that a call timed out, unless it has returned in the meantime.
func (p *Patience) hangs(c *call) {
	name, at := p.name(c.PID), mount{}
	if c.leaves() {
		at = p.mountOf(c)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.back {
		return
	}
	c.name, c.at = name, at
	p.hanging = append(p.hanging, c)
}

// done records that a call has returned.
func (p *Patience) done(c *call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.back = true
	for i, h := range p.hanging {
		if h == c {
			p.hanging = append(p.hanging[:i], p.hanging[i+1:]...)
			return
		}
	}
}

// blamesDevice reports whether other calls on the same file system would hang too. An
// executable is on the file system that its link names. A path below a root directory
// can lead to another file system, unless the file system of the root directory itself
// needs a server.
func (c *call) blamesDevice() bool { return c.File == Exe || c.at.remote() }
