// SPDX-License-Identifier: Apache-2.0

// Package hungfs mounts a FUSE file system that can stop answering, to test readers
// of a hung file system. A separate process serves it, because a process that
// serves itself would wait for itself. When the server ends, the kernel fails
// every call that still waits.
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

// Files of the file system. Both have the same content.
const (
	// Program is an executable.
	Program = "prog"
	// direct is read with direct I/O, without the page cache.
	direct = "direct"
)

// Mount mounts a file system that contains a copy of the file program as Program.
// The end of the test unmounts it, and kills the processes of Start and Child.
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

// await waits for a process to report that it is ready, or fails the test.
func (f *FS) await(ready *bufio.Reader) {
	f.t.Helper()
	if line, err := ready.ReadString('\n'); err != nil || line != "ready\n" {
		f.t.Fatalf("a process of the hung file system answered %q, %v; FUSE needs /dev/fuse and root", line, err)
	}
}

// unmount kills all processes before it waits for any of them: calls that hang,
// including those of the processes being killed, end only with the server.
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

// Path returns the path of Program.
func (f *FS) Path() string { return filepath.Join(f.Dir, Program) }

// Stop stops the server: requests stay queued in the kernel, where a signal can
// interrupt them.
func (f *FS) Stop() { f.signal(syscall.SIGSTOP) }

// Continue continues the server after Stop.
func (f *FS) Continue() { f.signal(syscall.SIGCONT) }

func (f *FS) signal(s syscall.Signal) {
	f.t.Helper()
	if err := f.server.Process.Signal(s); err != nil {
		f.t.Fatal(err)
	}
}

// Swallow makes the server read requests without answering them: then no signal
// interrupts them, not even SIGKILL.
func (f *FS) Swallow() {
	f.t.Helper()
	if _, err := fmt.Fprintln(f.orders, "swallow"); err != nil {
		f.t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // the server reads the order while it serves requests
}

// Fail aborts the connection: pending and later requests fail.
func (f *FS) Fail() {
	f.t.Helper()
	if err := unix.Unmount(f.Dir, unix.MNT_FORCE); err != nil && !errors.Is(err, unix.EBUSY) { // EBUSY: the mount is in use, but the connection is aborted
		f.t.Fatal(err)
	}
}

// Start runs Program with these arguments.
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

// Roles of the test binary in the processes that it starts.
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

// Main must be the first call in TestMain. It does not return in the processes that
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
