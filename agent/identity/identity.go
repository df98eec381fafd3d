// SPDX-License-Identifier: Apache-2.0

// Package identity determines the owner of a process: its cgroup, container and
// pod, its runtime and the command that it runs. Samplers use it through Host. It
// reads /proc, uses package cmdline for command lines, and caches the results.
//
// It never publishes a process's arguments or environment, and never guesses a
// name: what the kernel does not report is absent.
package identity

import (
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/patience"
	"github.com/headroom-project/headroom/agent/sampler"
)

var _ sampler.Identity = (*Resolver)(nil)

const (
	// maxProcesses is the maximum size of the cache. A node of 250 pods has about
	// 10,000 processes.
	maxProcesses = 40_000
	// maxCgroups and maxExecutables limit the other caches, for the same node.
	maxCgroups     = 20_000
	maxExecutables = 4_096
	// maxFamily limits the search for the first ancestor with the same program.
	maxFamily = 32

	// firstLook is the time until a new process is read again: between fork and exec
	// it looks like its parent. After that the interval doubles.
	firstLook = time.Second
	// lastLook is the maximum time until a move to another cgroup is detected.
	lastLook = time.Minute
	// settled is the age from which a newly found process is read at the longest
	// interval.
	settled = 30 * time.Second
	// fresh is the time for which a pid that was seen alive counts as the same
	// process: pids are not reused within about a second.
	fresh = time.Second
)

// A Resolver implements sampler.Identity.
type Resolver struct {
	source source
	trees  trees
	index  *observe.Index
	clock  func() time.Duration

	// No I/O runs while mu is held: a read of /proc may hang with its process.
	mu      sync.RWMutex
	procs   map[int]*process
	byID    map[observe.ID]*process
	cgroups map[string]*cgroup
	golang  map[patience.FileID]bool
	// names is nil if pods are known only by their cgroups. renamed is the version of
	// names for which all cgroups were named, or unnamed.
	names   sampler.Orchestrator
	renamed uint64
}

// A process holds what is known about one pid and start time. Resolver.mu guards
// the fields from due on.
type process struct {
	id      observe.ID
	pid     int
	start   uint64
	program program
	kin
	cgroup string
	link   string
	named  bool // more than its thread's name is known

	due      time.Duration // time of the next read
	interval time.Duration
	seen     time.Duration // last time that it was known to be alive
	looks    int
	threads  map[int]observe.ID
}

// A program identifies what a process runs.
type program struct {
	exe     patience.FileID // zero if it may not be read
	name    string
	command string
}

type cgroup struct {
	id      observe.ID
	place   place
	trusted int // elements of the path that only root could create
}

// New returns a Resolver that reads the /proc mounted at proc, and the cgroup tree
// mounted at tree for what is above its own cgroup namespace.
func New(proc, tree string, x *observe.Index) *Resolver {
	began := time.Now()
	r := &Resolver{
		source:  source{proc: proc, begin: namespaceBegin(proc, tree), calls: patience.New(proc)},
		trees:   findTrees(tree),
		index:   x,
		clock:   func() time.Duration { return time.Since(began) },
		procs:   make(map[int]*process),
		byID:    make(map[observe.ID]*process),
		cgroups: make(map[string]*cgroup),
		golang:  make(map[patience.FileID]bool),
	}
	x.OnFree(r.freed)
	return r
}

// Patience returns the object that makes the calls that can hang. Samplers share
// it: a file that hangs for one of them hangs for the others.
func (r *Resolver) Patience() *patience.Patience { return r.source.calls }

// freed drops an ID that the index recycles.
func (r *Resolver) freed(id observe.ID, e observe.Entity) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e.Kind {
	case observe.Process:
		if p := r.byID[id]; p != nil {
			delete(r.byID, id)
			if r.procs[p.pid] == p {
				delete(r.procs, p.pid)
			}
		}
	case observe.Thread:
		process, tid, _ := strings.Cut(e.ID, "/")
		pid, _, _ := strings.Cut(process, ":")
		n, _ := strconv.Atoi(pid)
		t, _ := strconv.Atoi(tid)
		if p := r.procs[n]; p != nil && p.threads[t] == id {
			delete(p.threads, t)
		}
	case observe.Cgroup:
		if c := r.cgroups[e.ID]; c != nil && c.id == id {
			delete(r.cgroups, e.ID)
		}
	}
}

// Process implements sampler.Identity.
func (r *Resolver) Process(pid int, start uint64) (observe.ID, bool) {
	now := r.clock()
	r.mu.Lock()
	p := r.procs[pid]
	if p == nil || p.start != start {
		r.mu.Unlock()
		return id(r.learn(pid, 0, func(s uint64) bool { return s == start }))
	}
	p.seen = now
	if now < p.due {
		r.mu.Unlock()
		return p.id, true
	}
	full := p.lookAgain(now)
	r.mu.Unlock()
	r.refresh(p, full)
	return p.id, true
}

// Current implements sampler.Identity.
func (r *Resolver) Current(pid int) (observe.ID, bool) {
	r.mu.RLock()
	p := r.procs[pid]
	if p != nil && r.clock()-p.seen < fresh {
		r.mu.RUnlock()
		return p.id, true
	}
	r.mu.RUnlock()
	if p != nil {
		st, err := r.source.stat(pid)
		if err != nil {
			return observe.None, false
		}
		return r.Process(pid, st.Start)
	}
	return id(r.learn(pid, 0, func(uint64) bool { return true }))
}

func id(p *process) (observe.ID, bool) {
	if p == nil {
		return observe.None, false
	}
	return p.id, true
}

// Ended implements sampler.Identity.
func (r *Resolver) Ended(id observe.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.byID[id]
	if p == nil {
		return
	}
	delete(r.byID, id)
	if r.procs[p.pid] == p {
		delete(r.procs, p.pid)
	}
}

// learn describes a process for the first time. It returns nil if there is no such
// process, or if its start time is not the wanted one.
func (r *Resolver) learn(pid, depth int, wanted func(start uint64) bool) *process {
	f, err := r.source.facts(pid, look{alone: r.alone})
	if err != nil || !wanted(f.Start) {
		return nil
	}
	now := r.clock()
	p := &process{pid: pid, start: f.Start, interval: firstLook, seen: now}
	if age(f.Start) > settled {
		p.interval = lastLook
	}
	e := observe.Entity{Kind: observe.Process, ID: strconv.Itoa(pid) + ":" + strconv.FormatUint(f.Start, 10)}
	p.id = r.index.ID(e)
	if p.id == observe.None {
		return nil
	}
	p.lookAgain(now)
	if f.blank() && r.index.Info(p.id).Attrs != nil {
		return p // a zombie that was dropped from the cache: keep what is known
	}
	if !r.describe(p, &f, depth) {
		p.interval = firstLook // at any age: a read that hung may work soon
		p.lookAgain(now)
	}
	return r.keep(p)
}

// alone reports whether a process is outside all containers and services, whose name would
// be better known than that of its package.
func (r *Resolver) alone(cgroup string) bool {
	in := r.enter(shallow(cgroup)).place
	return in.owner() == "" && in.pod == ""
}

// keep caches p, or returns the process that another goroutine cached meanwhile.
func (r *Resolver) keep(p *process) *process {
	r.mu.Lock()
	defer r.mu.Unlock()
	if was := r.procs[p.pid]; was != nil {
		if was.start == p.start {
			return was
		}
		delete(r.byID, was.id)
	}
	if len(r.procs) >= maxProcesses {
		r.forgetOld(r.clock())
	}
	r.procs[p.pid], r.byID[p.id] = p, p
	return p
}

// forgetOld drops entries that were not used recently, or all of them.
func (r *Resolver) forgetOld(now time.Duration) {
	maps.DeleteFunc(r.procs, func(_ int, p *process) bool { return now-p.seen > 2*lastLook })
	if len(r.procs) >= maxProcesses {
		clear(r.procs)
	}
	maps.DeleteFunc(r.byID, func(_ observe.ID, p *process) bool { return r.procs[p.pid] != p })
}

// fullLooks is the number of light reads, which cannot detect a changed title, per
// full read.
const fullLooks = 6

// age returns the time since a process started.
func age(start uint64) time.Duration {
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every platform that Go supports
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) != nil {
		return 0
	}
	return time.Duration(now.Nano()) - time.Duration(start)*tick
}

// lookAgain schedules the next read and reports whether this one should be full.
// Reads are spread by pid, so that processes found together are not due together.
func (p *process) lookAgain(now time.Duration) (full bool) {
	p.due = now + p.interval*3/4 + p.interval*time.Duration(p.pid%64)/128
	full = p.interval < lastLook || p.looks%fullLooks == 0
	p.looks++
	p.interval = min(2*p.interval, lastLook)
	return full
}

// refresh describes p again if it moved to another cgroup or runs another program.
func (r *Resolver) refresh(p *process, full bool) {
	if !full {
		cgroup, err := r.source.cgroup(p.pid)
		if err != nil {
			return
		}
		link := r.source.link(p.pid)
		r.mu.RLock()
		same := cgroup == p.cgroup && link == p.link
		r.mu.RUnlock()
		if same {
			return
		}
	}
	r.mu.RLock()
	known := look{command: p.program.command, called: p.called, alone: r.alone}
	r.mu.RUnlock()
	f, err := r.source.facts(p.pid, known)
	if err != nil || f.Start != p.start || r.fading(p, &f) {
		return
	}
	r.describe(p, &f, 0)
}

// fading reports whether f is of a zombie, or of a process whose memory is locked:
// the earlier facts are better.
func (r *Resolver) fading(p *process, f *facts) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return p.named && (f.blank() || f.unread)
}
