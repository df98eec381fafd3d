// SPDX-License-Identifier: Apache-2.0

// Package hungfs mounts a FUSE file system that can stop answering, for tests of
// what a hung file system does to its readers. A process of its own serves it:
// one that served itself would wait for itself. When that process ends the
// kernel fails every call that still waits.
package hungfs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// An FS is a mounted file system.
type FS struct {
	// Dir is where it is mounted.
	Dir    string
	t      testing.TB
	server *exec.Cmd
	orders io.WriteCloser
	users  []*exec.Cmd
}

// Files of the file system, of the same content.
const (
	// Program is to be run.
	Program = "prog"
	// direct is read past the cache.
	direct = "direct"
)

// Mount mounts a file system that holds a copy of the file program as Program. The
// test ends with it unmounted, and with the processes of Start and Child killed.
func Mount(t testing.TB, program string) *FS {
	t.Helper()
	dir, err := os.MkdirTemp("", "hungfs") // t.TempDir would be removed before the mount
	if err != nil {
		t.Fatal(err)
	}
	f := &FS{Dir: dir, t: t, server: again(roleServer, dir, program)}
	f.orders, err = f.server.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	ready := f.pipe(f.server)
	if err := f.server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.unmount)
	f.await(ready)
	return f
}

func (f *FS) pipe(cmd *exec.Cmd) *bufio.Reader {
	f.t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	return bufio.NewReader(out)
}

// await fails the test unless a process says that it is ready.
func (f *FS) await(ready *bufio.Reader) {
	f.t.Helper()
	if line, err := ready.ReadString('\n'); err != nil || line != "ready\n" {
		f.t.Fatalf("a process of the hung file system says %q, %v; FUSE needs /dev/fuse and root", line, err)
	}
}

// unmount kills everybody before it waits for anybody: the end of the server is
// what ends the calls that hang, those of processes that end included.
func (f *FS) unmount() {
	all := append(f.users, f.server)
	for _, cmd := range all {
		_ = cmd.Process.Kill()
	}
	for _, cmd := range all {
		_ = cmd.Wait() // it was killed
	}
	if err := unix.Unmount(f.Dir, unix.MNT_DETACH); err != nil {
		f.t.Errorf("unmount %s: %v", f.Dir, err)
	}
	_ = os.Remove(f.Dir)
}

// Path is where the file system has its program.
func (f *FS) Path() string { return filepath.Join(f.Dir, Program) }

// Stop stops the server: requests stay in the kernel, where a signal can end the
// wait for them.
func (f *FS) Stop() { f.signal(syscall.SIGSTOP) }

// Continue ends what Stop began.
func (f *FS) Continue() { f.signal(syscall.SIGCONT) }

func (f *FS) signal(s syscall.Signal) {
	f.t.Helper()
	if err := f.server.Process.Signal(s); err != nil {
		f.t.Fatal(err)
	}
}

// Swallow has the server read requests and answer none: no signal ends the wait
// for an answer, not even SIGKILL.
func (f *FS) Swallow() {
	f.t.Helper()
	if _, err := fmt.Fprintln(f.orders, "swallow"); err != nil {
		f.t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // the server reads the order beside its requests
}

// Fail ends the connection: what waits fails, and so does what comes.
func (f *FS) Fail() {
	f.t.Helper()
	if err := unix.Unmount(f.Dir, unix.MNT_FORCE); err != nil && !errors.Is(err, unix.EBUSY) { // it is in use, and has failed all the same
		f.t.Fatal(err)
	}
}

// Start runs the program of the file system, with these arguments.
func (f *FS) Start(args ...string) *exec.Cmd {
	f.t.Helper()
	cmd := exec.Command(f.Path(), args...)
	f.start(cmd)
	return cmd
}

func (f *FS) start(cmd *exec.Cmd) {
	f.t.Helper()
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.users = append(f.users, cmd)
}

// Roles of the processes that a test starts of its own program.
const (
	roleVariable = "HEADROOM_HUNGFS_ROLE"
	roleServer   = "server"
	roleChild    = "child"
)

func again(role string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Main is for TestMain to call first: it does not return in the processes that
// Mount and Child start.
func Main() {
	var err error
	switch os.Getenv(roleVariable) {
	case "":
		return
	case roleServer:
		err = serve(os.Args[1], os.Args[2], os.Stdin)
	case roleChild:
		err = fall(Trap(os.Args[1]), os.Args[2])
	}
	if err == nil {
		os.Exit(0)
	}
	fmt.Fprintln(os.Stderr, "hungfs:", err)
	os.Exit(1)
}
