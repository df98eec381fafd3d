// SPDX-License-Identifier: Apache-2.0

package requests

import (
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/procfs"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/patience"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// sampledLocks reads the locks of a Python until done, and returns what it found.
func sampledLocks(t *testing.T, pid int, done func(*locked) bool) *locked {
	t.Helper()
	x := observe.NewIndex(100)
	id := x.ID(observe.Entity{Kind: observe.Process, ID: strconv.Itoa(pid) + ":1"})
	x.Describe(id, observe.Info{Attrs: map[string]string{catalog.AttrRuntime: "python"}})
	l := newLocks(&sampler.Host{Proc: "/proc", Index: x, Patience: patience.New("/proc")})
	now := map[observe.ID]total{id: {pid: pid, active: crowd, oldest: waits}}
	outside.Eventually(t, 20*time.Second, "the program has started its threads", func() bool {
		// Before that, a script may be starting Python, or the linker loading its library.
		return len(procDir("/proc").threads(pid)) > 1
	})
	outside.Eventually(t, 20*time.Second, "threads wait", func() bool {
		l.took = 0
		l.read(observe.NewSnapshot(x), now)
		time.Sleep(20 * time.Millisecond)
		return done(l.known[id])
	})
	return l.known[id]
}

func threadsAt(c *counts, kind string) float64 {
	n := 0.0
	for in, k := range c.calls {
		if in.lock.kind == kind {
			n += k.count
		}
	}
	return n
}

// TestInterpreterLock checks threads of Python that compute beside one another.
func TestInterpreterLock(t *testing.T) {
	pid := child(t, "python3", "-c", `import threading
def f():
    while True: sum(i * i for i in range(1000))
for _ in range(4): threading.Thread(target=f, daemon=True).start()
input()`)
	enough := func(p *locked) bool { return threadsAt(p.waiters, catalog.LockInterpreter) > 20 }
	if p := sampledLocks(t, pid, enough); threadsAt(p.waiters, catalog.LockInterpreter) < p.readings || threadsAt(p.waiters, catalog.LockMutex) > 0 {
		t.Errorf("%v readings found %+v, want more than one thread that waits for the interpreter at each", p.readings, p.waiters.calls)
	}
}

// TestIdlePython checks one busy thread of Python beside idle ones that wait for a lock of
// the program, a queue and an event.
func TestIdlePython(t *testing.T) {
	pid := child(t, "python3", "-c", `import threading, queue
q, e, l = queue.SimpleQueue(), threading.Event(), threading.Lock()
l.acquire()
for f in [q.get] * 4 + [e.wait] * 2 + [l.acquire] * 2: threading.Thread(target=f, daemon=True).start()
def busy():
    while True: sum(i * i for i in range(1000))
threading.Thread(target=busy, daemon=True).start()
l.acquire()`)
	p := sampledLocks(t, pid, func(p *locked) bool { return p.readings >= 30 })
	if n := threadsAt(p.waiters, catalog.LockInterpreter) + threadsAt(p.waiters, catalog.LockMutex); n > p.readings/5 {
		t.Errorf("%v threads wait in %v readings: %+v", n, p.readings, p.waiters.calls)
	}
}

// TestMutex checks that the threads which wait for a mutex of the C library are counted,
// and the call in which its holder is. Others wait for a semaphore, as idle threads do.
func TestMutex(t *testing.T) {
	pid := child(t, "python3", "-c", `import ctypes, threading
c, m, s = ctypes.CDLL(None), ctypes.create_string_buffer(64), ctypes.create_string_buffer(64)
c.sem_init(s, 0, 0)
c.pthread_mutex_lock(m)
for _ in range(3):
    threading.Thread(target=c.pthread_mutex_lock, args=(m,), daemon=True).start()
    threading.Thread(target=c.sem_wait, args=(s,), daemon=True).start()
input()`)
	p := sampledLocks(t, pid, func(p *locked) bool { return threadsAt(p.waiters, catalog.LockMutex) >= 9 })
	if len(p.waiters.calls) != 1 {
		t.Errorf("locks %+v, want the one that is held", p.waiters.calls)
	}
	held := p.held.calls[call{name: "read", thread: thread{id: strconv.Itoa(pid), name: "python3"}}]
	if held == nil || held.count < 2 {
		t.Errorf("held in %+v, want in read by the main thread", p.held.calls)
	}
}

// TestVariables checks which part of the memory is that of the runtime.
func TestVariables(t *testing.T) {
	m := func(from, to uintptr, write bool, path string) *procfs.ProcMap {
		return &procfs.ProcMap{StartAddr: from, EndAddr: to, Perms: &procfs.ProcMapPermissions{Read: true, Write: write}, Pathname: path}
	}
	const lib, exe = "/usr/lib/libpython3.11.so.1.0", "/usr/bin/python3.11"
	for name, c := range map[string]struct {
		maps []*procfs.ProcMap
		want span
	}{
		"a library, and what follows it": {[]*procfs.ProcMap{m(1, 2, true, exe), m(10, 20, false, lib), m(20, 30, true, lib), m(30, 40, true, ""), m(40, 50, true, "/lib/libc.so")}, span{20, 40}},
		"an executable and its heap":     {[]*procfs.ProcMap{m(10, 20, true, exe), m(20, 30, true, ""), m(30, 40, true, "[heap]")}, span{10, 30}},
		"what follows is elsewhere":      {[]*procfs.ProcMap{m(10, 20, true, exe), m(25, 30, true, "")}, span{10, 20}},
		"another program":                {[]*procfs.ProcMap{m(10, 20, true, "/usr/bin/ruby")}, span{}},
	} {
		if got := variables(c.maps); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
