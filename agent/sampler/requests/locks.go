// SPDX-License-Identifier: Apache-2.0

package requests

import (
	"encoding/binary"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/patience"
	"github.com/headroom-project/headroom/agent/procread"
	"github.com/headroom-project/headroom/agent/sampler"
)

// This file samples the locks for which the threads of a process wait while its requests
// wait. Idle threads wait in a futex too, so that only two kinds count: a mutex of glibc,
// whose memory has the thread that holds it, and the lock of CPython's interpreter, which
// is in the memory of the runtime itself.

const (
	// waits is the age of a request from which the threads of its process are read, if
	// another request is in flight.
	waits = 100 * time.Millisecond
	// crowd is the number of requests in flight from which one can wait for another.
	crowd = 2
)

// A lock is what threads wait for.
type lock struct {
	kind    string // catalog.LockMutex …
	address uint64
}

// locks has what was sampled so far, by process.
type locks struct {
	host  *sampler.Host
	proc  procDir
	known map[observe.ID]*locked
	took  time.Duration // by the last reading
}

// locked is what the threads of one process waited for.
type locked struct {
	readings              float64
	waited, waiters, held *counts
	interpreter           span
}

func newLocks(host *sampler.Host) *locks {
	return &locks{host: host, proc: procDir(host.Proc), known: make(map[observe.ID]*locked)}
}

// read samples the processes with the oldest requests, and writes the sums of all that
// still serve.
func (t *locks) read(s *observe.Snapshot, now map[observe.ID]total) {
	t.forget(s, now)
	if t.host.Turn(t.took) {
		began := time.Now()
		for _, id := range slowest(now, waits) {
			if now[id].active >= crowd {
				t.sample(id, now[id].pid)
			}
		}
		t.took = time.Since(began)
	}
	for id, p := range t.known {
		s.Set(catalog.LockReadings, id, p.readings)
		p.waited.write(s, catalog.LockWaited, id)
		p.waiters.write(s, catalog.LockWaiters, id)
		p.held.write(s, catalog.LockHeldIn, id)
	}
}

func (t *locks) sample(id observe.ID, pid int) {
	p := t.known[id]
	if p == nil {
		p = &locked{waited: newCounts(t.host, "lock"), waiters: newCounts(t.host, "lock"), held: newCounts(t.host, "held")}
		if t.host.Index.Attr(id, catalog.AttrRuntime) == "python" {
			p.interpreter = t.proc.pythonRuntime(t.host.Patience, pid)
		}
		t.known[id] = p
	}
	p.readings++
	threads, awake := t.proc.sleepers(pid)
	found, waiters := t.most(pid, p, threads, awake)
	if waiters == 0 {
		return
	}
	c := call{name: "futex", lock: found.lock}
	p.waited.add(id, c, 1)
	p.waiters.add(id, c, float64(waiters))
	if found.holder != 0 {
		p.held.add(id, t.holding(id, pid, found.holder, threads), 1)
	}
}

// A thread is one that holds a lock.
type thread struct{ id, name string }

// holding returns the call in which the thread that holds a lock is, one without a name if
// it is running.
func (t *locks) holding(id observe.ID, pid, holder int, threads map[int]procread.Call) call {
	var in call
	if c, asleep := threads[holder]; asleep {
		var table sockets
		var ok bool
		if in, ok = t.proc.resolve(t.host.Patience, pid, c, &table); !ok {
			in = call{name: c.Name()}
		}
	}
	in.thread.id = strconv.Itoa(holder)
	comm, _ := os.ReadFile(t.proc.file(pid, "task", in.thread.id, "comm"))
	main, _ := os.ReadFile(t.proc.file(pid, "comm"))
	in.thread.name = observe.ThreadName(strings.TrimSpace(string(comm)), strings.TrimSpace(string(main)), t.host.Index.Attr(id, catalog.AttrExecutable))
	return in
}

// A contended lock is one for which threads wait, and the thread that has it, 0 if that is
// not known.
type contended struct {
	lock
	holder int
}

// most returns the lock for which most threads wait.
func (t *locks) most(pid int, p *locked, asleep map[int]procread.Call, awake []int) (found contended, waiters int) {
	mutexes, interpreter := make(map[contended]int), 0
	for _, c := range asleep {
		if c.Name() != "futex" {
			continue
		}
		if p.interpreter.has(c.Args[0]) {
			interpreter++ // the condition of this lock has two futexes, used in turn
		} else if holder, ok := t.mutex(pid, c); ok {
			mutexes[contended{lock{catalog.LockMutex, c.Args[0]}, holder}]++
		}
	}
	for l, n := range mutexes {
		if n > waiters || n == waiters && l.address < found.address {
			found, waiters = l, n
		}
	}
	// A thread can wait for a mutex while it has the lock of the interpreter. If no thread
	// runs but the one that holds the mutex, all others wait for that one.
	if waiters > 0 && !slices.ContainsFunc(awake, func(tid int) bool { return tid != found.holder }) {
		return found, waiters + interpreter
	}
	if interpreter > waiters {
		return contended{lock: lock{kind: catalog.LockInterpreter}}, interpreter
	}
	return found, waiters
}

const (
	// futexCommand are the bits of a futex operation without its options, and futexWait
	// is FUTEX_WAIT (include/uapi/linux/futex.h).
	futexCommand, futexWait = 0x7f, 0
	// contendedMutex is the value of a mutex that a thread holds and others wait for, in
	// glibc (nptl/lowlevellock.c). Its owner follows (struct __pthread_mutex_s).
	contendedMutex, ownerAt = 2, 8
)

// mutex returns the thread that holds the mutex for which a call waits; ok is false if it
// waits for something else.
func (t *locks) mutex(pid int, c procread.Call) (holder int, ok bool) {
	if c.Args[1]&futexCommand != futexWait || c.Args[2] != contendedMutex {
		return 0, false
	}
	ask := patience.Call{Source: "requests", Lost: "which locks its threads wait for", PID: pid, File: "mem"}
	holder, answered := patience.Ask(t.host.Patience, ask, func() int {
		var b [ownerAt + 4]byte
		if !readMemory(pid, c.Args[0], b[:]) || binary.LittleEndian.Uint32(b[:]) != contendedMutex {
			return 0
		}
		return int(binary.LittleEndian.Uint32(b[ownerAt:]))
	})
	if !answered || holder <= 0 {
		return 0, false
	}
	return t.proc.thread(pid, holder)
}

// thread returns the thread of a process that has an ID in the process's own namespace.
func (d procDir) thread(pid, inside int) (tid int, ok bool) {
	fs, err := procfs.NewFS(string(d))
	if err != nil {
		return 0, false
	}
	is := func(tid int) bool {
		t, err := fs.Thread(pid, tid)
		if err != nil {
			return false
		}
		status, err := t.NewStatus()
		return err == nil && len(status.NSpids) > 0 && status.NSpids[len(status.NSpids)-1] == uint64(inside)
	}
	if is(inside) {
		return inside, true
	}
	for _, name := range d.threads(pid) {
		if tid, _ := strconv.Atoi(name); tid != inside && is(tid) {
			return tid, true
		}
	}
	return 0, false
}

// sleepers returns the threads of a process that sleep in a system call, by their IDs in
// the namespace of headroom, and those that do not.
func (d procDir) sleepers(pid int) (asleep map[int]procread.Call, awake []int) {
	asleep = make(map[int]procread.Call)
	for _, name := range d.threads(pid) {
		tid, _ := strconv.Atoi(name)
		if c, ok := procread.ReadCall(d.file(pid, "task", name, "syscall")); ok {
			asleep[tid] = c
		} else {
			awake = append(awake, tid)
		}
	}
	return asleep, awake
}

// forget drops the processes that do not serve any more.
func (t *locks) forget(s *observe.Snapshot, now map[observe.ID]total) {
	for id, p := range t.known {
		if _, ok := now[id]; !ok {
			for _, c := range []*counts{p.waited, p.waiters, p.held} {
				c.end(s)
			}
			delete(t.known, id)
		}
	}
}
