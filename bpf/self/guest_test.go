// SPDX-License-Identifier: Apache-2.0

package self

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/bpf/support"
)

// Tests named TestGuest need only a kernel: they also run in a guest whose user space
// is this test binary.

// helperMode, set in the environment, makes the test binary call Ask and print
// the answer.
const helperMode = "HEADROOM_SELF_HELPER"

// unsupported is the exit status of a helper that is not allowed to load the program.
const unsupported = 3

var ran int // tests that had an answer

func TestMain(m *testing.M) {
	if os.Getenv(helperMode) != "" {
		a, err := Ask(nil)
		fmt.Println(a.PID, a.Whole, err)
		if errors.Is(err, support.ErrNotSupported) {
			os.Exit(unsupported)
		}
		os.Exit(0)
	}
	code := m.Run()
	fmt.Printf("bpf/self: %d tests ran with a live probe\n", ran)
	os.Exit(code)
}

// TestGuestAsk checks that eBPF and /proc agree in the initial namespaces.
func TestGuestAsk(t *testing.T) {
	before := [2]uint64{clock(t, unix.CLOCK_MONOTONIC), clock(t, unix.CLOCK_BOOTTIME)}
	a, err := Ask(nil)
	if errors.Is(err, support.ErrNotSupported) && os.Getenv("HEADROOM_REQUIRE_PROBE") == "" {
		t.Skipf("no probe here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	ran++
	if a.PID != uint32(os.Getpid()) {
		t.Errorf("pid = %d, want %d", a.PID, os.Getpid())
	}
	if want := startTicks(t, "self"); a.Start/1e7 != want {
		t.Errorf("start = %d ns, want %d ticks", a.Start, want)
	}
	if !a.Whole {
		t.Error("the iterator does not show the whole host")
	}
	if after := clock(t, unix.CLOCK_MONOTONIC); a.Monotonic < before[0] || a.Monotonic > after {
		t.Errorf("monotonic clock = %d, want %d to %d", a.Monotonic, before[0], after)
	}
	if after := clock(t, unix.CLOCK_BOOTTIME); a.BootTime < before[1] || a.BootTime > after {
		t.Errorf("boot time = %d, want %d to %d", a.BootTime, before[1], after)
	}
	if a.Tasks < 2 {
		t.Errorf("%d tasks, want at least two", a.Tasks)
	}
}

// TestGuestAskInAPIDNamespace checks that in a pid namespace eBPF reports the
// host's pid, and the iterator shows only the namespace.
func TestGuestAskInAPIDNamespace(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), helperMode+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Start(); errors.Is(err, os.ErrPermission) {
		t.Skipf("no pid namespace here: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	err := cmd.Wait()
	if cmd.ProcessState.ExitCode() == unsupported && os.Getenv("HEADROOM_REQUIRE_PROBE") == "" {
		t.Skipf("no probe here: %s", &out)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, &out)
	}
	if want := fmt.Sprintf("%d false <nil>\n", pid); out.String() != want {
		t.Errorf("in a pid namespace: %q, want %q", out.String(), want)
	}
	ran++
}

func clock(t *testing.T, id int32) uint64 {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		t.Fatal(err)
	}
	return uint64(ts.Nano())
}

func startTicks(t *testing.T, pid string) uint64 {
	t.Helper()
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	const start = 22 - 3 // index among the fields after the name
	v, err := strconv.ParseUint(strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))[start], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
