// SPDX-License-Identifier: Apache-2.0

package patience

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/internal/testutil/hungfs"
)

func TestMain(m *testing.M) {
	hungfs.Main()
	if os.Getenv(fewThreads) != "" {
		holdThreads()
		return
	}
	os.Exit(m.Run())
}

const sleep = "/bin/sleep"

// open returns a function that opens an executable, as samplers do.
func open(pid int) func() error {
	return func() error {
		f, err := os.Open(New("/proc").path(pid, Exe))
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.Read(make([]byte, 4))
		return err
	}
}

// TestHungExecutable checks that a file system that does not answer delays callers by
// the timeout of only one call, for all processes that run from it, and that no further
// call is made until it answers.
func TestHungExecutable(t *testing.T) {
	fs := hungfs.Mount(t, sleep)
	first, second := fs.Start("60"), fs.Start("60")
	local := exec.Command(sleep, "60")
	if err := local.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = local.Process.Kill(); _ = local.Wait() })
	p := New("/proc")
	exe := func(cmd *exec.Cmd) Call {
		return Call{Source: "proc", PID: cmd.Process.Pid, File: Exe, Lost: "anything"}
	}
	before, ok := p.File(exe(first))
	if !ok || before.Ino == 0 || before.Dev == 0 {
		t.Fatalf("File = %+v, %v of an executable on FUSE", before, ok)
	}
	fs.Stop()
	if id, ok := p.File(exe(first)); !ok || id != before {
		t.Errorf("File = %+v, %v while the file system hangs, want %+v", id, ok, before)
	}
	if _, ok := Ask(p, exe(first), open(first.Process.Pid)); ok {
		t.Fatal("an executable that does not open was waited for")
	}
	for _, cmd := range []*exec.Cmd{first, second} {
		began := time.Now()
		if _, ok := Ask(p, exe(cmd), open(cmd.Process.Pid)); ok || time.Since(began) > usual/2 {
			t.Errorf("asked again after %v", time.Since(began))
		}
	}
	if err, ok := Ask(p, exe(local), open(local.Process.Pid)); err != nil || !ok {
		t.Errorf("another file system: %v, %v", err, ok)
	}
	gaps := p.Gaps()
	if len(gaps) != 1 || gaps[0].Source != "proc" || !strings.Contains(gaps[0].Reason, "the fuse.hungfs file system at "+fs.Dir+" does not answer") ||
		!strings.Contains(gaps[0].Reason, hungfs.Program) || !strings.Contains(gaps[0].Cure, "/sys/fs/fuse/connections/") {
		t.Errorf("gaps = %+v", gaps)
	}
	fs.Continue()
	await(t, "an executable that opens again is asked again", func() bool {
		err, ok := Ask(p, exe(first), open(first.Process.Pid))
		return ok && err == nil && p.Hanging() == 0 && p.Gaps() == nil
	})
}

// TestHungRoot checks that a path below a root directory that does not answer is not
// read for another process with this root directory either.
func TestHungRoot(t *testing.T) {
	fs := hungfs.Mount(t, sleep)
	trapped := fs.Child(hungfs.TrapRoot).Process.Pid
	other := fs.Child(hungfs.TrapRoot).Process.Pid
	fs.Swallow()
	p := New("/proc")
	for _, pid := range []int{trapped, other} {
		began := time.Now()
		_, ok := Ask(p, Call{PID: pid, File: Root}, func() error { _, err := os.Stat(p.path(pid, "root/sys")); return err })
		if ok || pid == other && time.Since(began) > usual/2 {
			t.Errorf("pid %d: %v after %v", pid, ok, time.Since(began))
		}
	}
}

// TestStalledConnection checks that a file on a FUSE file system that leaves other
// requests waiting is not opened, because no signal would end the call.
func TestStalledConnection(t *testing.T) {
	fs := hungfs.Mount(t, sleep)
	user := fs.Start("60").Process.Pid
	fs.Swallow()
	p, other := New("/proc"), New("/proc")
	other.fuse = t.TempDir // it sees no connections
	exe := Call{Source: "proc", PID: user, File: Exe, Lost: "anything"}
	if _, ok := Ask(other, exe, open(user)); ok {
		t.Fatal("an executable that does not open was waited for")
	}
	made := false
	if _, ok := Ask(p, exe, func() bool { made = true; return true }); ok || made || p.Hanging() != 0 {
		t.Errorf("asked: %v, %v", ok, made)
	}
	if gaps := p.Gaps(); len(gaps) != 1 || !strings.Contains(gaps[0].Reason, "the fuse.hungfs file system at "+fs.Dir+" does not answer: requests to it are waiting") {
		t.Errorf("gaps = %+v", gaps)
	}
	fs.Fail()
	await(t, "a connection without requests is no gap", func() bool { return p.Gaps() == nil && other.Gaps() == nil })
}

// TestLockedMemory checks that other files of a process are still read while its memory
// is locked because a thread waits for a file system that does not answer.
func TestLockedMemory(t *testing.T) {
	fs := hungfs.Mount(t, sleep)
	trapped := fs.Child(hungfs.TrapMemory).Process.Pid
	fs.Stop()
	p := New("/proc")
	read := func(file string) bool {
		_, ok := Ask(p, Call{Source: "proc", PID: trapped, File: file, Lost: "anything"}, func() error {
			_, err := os.ReadFile(p.path(trapped, file))
			return err
		})
		return ok
	}
	await(t, "reading arguments hangs", func() bool { return !read(Cmdline) })
	if !read("stat") {
		t.Error("other files of the process are not read")
	}
	if gaps := p.Gaps(); len(gaps) != 1 || !strings.Contains(gaps[0].Reason, "the memory of the process is locked") || !strings.Contains(gaps[0].Cure, "wchan") {
		t.Errorf("gaps = %+v", gaps)
	}
}

// TestManyHang checks that the number of hanging calls and the total time that they
// take are limited.
func TestManyHang(t *testing.T) {
	p := New("/proc")
	held := make(chan struct{})
	began := time.Now()
	for pid := range 3 * maxHanging {
		if _, ok := Ask(p, Call{PID: pid, File: Cmdline}, func() bool { <-held; return true }); ok {
			t.Fatal("a call that hangs was waited for")
		}
	}
	if took, most := time.Since(began), many*usual+maxHanging*short; took > 2*most || p.Hanging() != maxHanging {
		t.Errorf("%d calls hang after %v, want %d after %v", p.Hanging(), took, maxHanging, most)
	}
	gaps := p.Gaps()
	if len(gaps) != maxGaps+1 {
		t.Fatalf("%d gaps, want %d", len(gaps), maxGaps+1)
	}
	if last := gaps[maxGaps]; !strings.HasPrefix(last.Reason, "64 calls hang, and no more are made") {
		t.Errorf("the last gap is %+v, want that the limit was reached", last)
	}
	close(held)
	await(t, "no call hangs", func() bool { return p.Hanging() == 0 })
}

func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not so: %s", what)
		}
	}
}
