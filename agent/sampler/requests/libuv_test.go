// SPDX-License-Identifier: Apache-2.0

package requests

import (
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/patience"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// child starts a program that runs until the end of the test.
func child(t *testing.T, name string, args ...string) int {
	t.Helper()
	path, err := exec.LookPath(name)
	outside.Must(t, err)
	cmd := exec.Command(path, args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe() // it waits for the end of its input
	outside.Must(t, err)
	outside.Must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = in.Close()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

// TestPool checks a pool of two threads, both of which open a FIFO without a writer, with
// work that waits behind them, and one that does nothing.
func TestPool(t *testing.T) {
	fifo := t.TempDir() + "/fifo"
	outside.Must(t, exec.Command("mkfifo", fifo).Run())
	t.Cleanup(func() { // a thread in open(2) would keep the child
		if f, err := os.OpenFile(fifo, os.O_RDWR, 0); err == nil {
			_ = f.Close()
		}
	})
	t.Setenv("UV_THREADPOOL_SIZE", "2")
	full := child(t, "node", "-e", `process.stdin.resume()
for (let i = 0; i < 2; i++) require("fs").readFile(process.argv[1], () => {})
setTimeout(() => {
	for (let i = 0; i < 3; i++) require("crypto").pbkdf2("a", "b", 1, 8, "sha1", () => {})
	require("fs").stat("/", () => {})
	require("dns").lookup("localhost", () => {})
}, 200)`, fifo)
	idle := child(t, "node", "-e", "process.stdin.resume()")

	x := observe.NewIndex(100)
	pools := newPools(&sampler.Host{Proc: "/proc", Index: x, Patience: patience.New("/proc")})
	of := func(pid int) observe.ID {
		id := x.ID(observe.Entity{Kind: observe.Process, ID: strconv.Itoa(pid) + ":1"})
		x.Describe(id, observe.Info{Attrs: map[string]string{catalog.AttrRuntime: "node"}})
		return id
	}
	now := map[observe.ID]total{of(full): {pid: full}, of(idle): {pid: idle}}
	var s *observe.Snapshot
	outside.Eventually(t, 20*time.Second, "work waits", func() bool {
		s = observe.NewSnapshot(x)
		pools.took = 0
		pools.read(s, now)
		n, _ := s.Value(catalog.PoolWaiting, of(full))
		return n >= 5
	})
	for m, want := range map[*observe.Metric]float64{
		catalog.PoolThreads: 2, catalog.PoolActive: 2, catalog.PoolWaiting: 5, catalog.PoolLookups: 0, catalog.PoolWaitingLookups: 1, catalog.PoolWaitingFiles: 1,
	} {
		if got, ok := s.Value(m, of(full)); !ok || got != want {
			t.Errorf("%s = %v %t, want %v", m.Key(), got, ok, want)
		}
	}
	if n, ok := s.Value(catalog.PoolActive, of(idle)); !ok || n != 0 {
		t.Errorf("%v threads of an idle process work (%t), want none", n, ok)
	}
	in := pools.known[of(full)].calls.calls[call{name: "openat", kind: catalog.TargetFile}]
	if in == nil || in.count < 2 {
		t.Errorf("calls %+v, want both threads in openat", pools.known[of(full)].calls.calls)
	}
	pools.read(observe.NewSnapshot(x), nil)
	if len(pools.known) != 0 {
		t.Error("processes that do not serve any more are kept")
	}
}

// TestOtherExecutable checks a process without libuv.
func TestOtherExecutable(t *testing.T) {
	pid := child(t, "cat")
	p, ok := make(layouts).pool("/proc", patience.New("/proc"), pid)
	if !ok || p.layout != nil {
		t.Errorf("pool of cat: %+v %t, want none", p, ok)
	}
}

// TestHostilePool checks that lists which lead nowhere are not followed for long.
func TestHostilePool(t *testing.T) {
	pid := child(t, "node", "-e", "require('fs').stat('/', () => process.stdin.resume())")
	var p *pool
	outside.Eventually(t, 10*time.Second, "the pool runs", func() bool {
		found, ok := make(layouts).pool("/proc", patience.New("/proc"), pid)
		if !ok || found.layout == nil {
			return false
		}
		p = found
		s, ok := p.state()
		return ok && s.threads > 0
	})
	l := *p.layout
	l.Queue = l.Threads // a list that begins at a number
	if s, ok := (&pool{pid: pid, layout: &l, base: p.base}).state(); ok {
		t.Errorf("followed a number: %+v", s)
	}
	if _, ok := (&pool{pid: pid, layout: p.layout, base: 1 << 40}).state(); ok {
		t.Error("read a pool where no memory is")
	}
}
