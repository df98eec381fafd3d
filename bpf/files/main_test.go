// SPDX-License-Identifier: Apache-2.0

package files

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/headroom-project/headroom/bpf/support"
)

// Tests named TestGuest need only a kernel: they also run in a guest whose user space
// is this test binary.

// helperMode, set in the environment, turns the test binary into a helper.
const helperMode = "HEADROOM_FILES_HELPER"

// ran counts the tests that had a loaded probe: a run without one does not pass.
var ran int

func TestMain(m *testing.M) {
	if mode := os.Getenv(helperMode); mode != "" {
		runHelper(mode)
		os.Exit(0)
	}
	code := m.Run()
	fmt.Printf("bpf/files: %d tests ran with a live probe\n", ran)
	os.Exit(code)
}

// open opens a probe for one test, and skips where the host does not allow it.
func open(tb testing.TB) *Probe {
	tb.Helper()
	p, err := Open(Options{})
	if errors.Is(err, support.ErrNotSupported) && os.Getenv("HEADROOM_REQUIRE_PROBE") == "" {
		tb.Skipf("no probe here: %v", err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := p.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
	ran++
	return p
}

// start starts a helper and waits until its descriptors are open. clone selects
// new namespaces for it.
func start(tb testing.TB, mode string, clone uintptr) (pid uint32) {
	tb.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), helperMode+"="+mode)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: clone}
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		tb.Fatalf("helper %s: %q %v", mode, line, err)
	}
	return uint32(cmd.Process.Pid)
}

// A found is what a pass reports about one process.
type found struct {
	Process
	records   int
	listeners []Listener
}

// look makes a pass and returns what it reported about pid.
func look(tb testing.TB, p *Probe, pid uint32) found {
	tb.Helper()
	var f found
	err := p.Read(Visitor{
		Process: func(v *Process) {
			if v.Tgid == pid {
				f.Process = *v
				f.records++
			}
		},
		Listener: func(l *Listener) {
			if l.Tgid == pid {
				f.listeners = append(f.listeners, *l)
			}
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
	if lost := p.Lost(); lost != (Lost{}) {
		tb.Errorf("lost %+v", lost)
	}
	return f
}
