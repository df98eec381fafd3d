// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// lessMode, set in the environment, makes this test binary drop privileges or
// features and exec the command in its arguments.
const lessMode = "HEADROOM_GUEST_LESS"

const (
	lessCaps = "caps" // root, with the capabilities of the manifest's container
	lessBTF  = "btf"  // a kernel without BTF
	lessLock = "lock" // as lessCaps, with little locked memory
)

// withLess returns a command that runs another one with fewer privileges or features.
func withLess(mode string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), lessMode+"="+mode)
	if mode == lessBTF {
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	}
	return cmd
}

// asNobody returns a command that runs as an unprivileged user.
func asNobody(args ...string) *exec.Cmd {
	const nobody = 65534
	cmd := exec.Command(args[0], args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	return cmd
}

func runWithLess(mode string, args []string) {
	runtime.LockOSThread() // capabilities are per thread; the command inherits those of this one
	take := map[string]func() error{lessCaps: becomePod, lessBTF: hideBTF, lessLock: lockLittle}[mode]
	err := os.Unsetenv(lessMode)
	if err == nil {
		err = take()
	}
	if err == nil {
		err = syscall.Exec(args[0], args, os.Environ())
	}
	fmt.Fprintln(os.Stderr, "running with less:", err)
	os.Exit(3)
}

// becomePod limits the capabilities of programs that root executes to those that
// deploy/daemonset.yaml grants to its container: their permitted set is the bounding
// set (capabilities(7)).
func becomePod() error {
	keep, err := grantedByManifest()
	if err != nil {
		return err
	}
	if before(5, 11) {
		keep[unix.CAP_SYS_RESOURCE] = true // as with oldKernel in the chart: maps are charged to RLIMIT_MEMLOCK
	}
	return keepOnly(keep)
}

// lockLittle keeps the capabilities for eBPF, and limits locked memory to 64 kB, the
// default of most distributions with such kernels.
func lockLittle() error {
	keep, err := grantedByManifest()
	if err != nil {
		return err
	}
	little := unix.Rlimit{Cur: 64 << 10, Max: 64 << 10}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &little); err != nil {
		return err
	}
	return keepOnly(keep)
}

// keepOnly limits the capabilities of programs that root executes.
func keepOnly(keep map[int]bool) error {
	for c := 0; c <= unix.CAP_LAST_CAP; c++ {
		if keep[c] {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil && err != unix.EINVAL {
			return fmt.Errorf("dropping capability %d: %w", c, err)
		}
	}
	return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
}

// hideBTF hides the kernel's BTF. It needs a separate mount namespace.
func hideBTF() error {
	return unix.Mount("tmpfs", "/sys/kernel/btf", "tmpfs", 0, "")
}

// before reports whether the kernel is older than a version.
func before(major, minor int) bool {
	var u unix.Utsname
	var a, b int
	if unix.Uname(&u) != nil {
		return false
	}
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &a, &b); err != nil {
		return false
	}
	return a < major || a == major && b < minor
}

// mountTracefs mounts tracefs during the test.
func mountTracefs(t *testing.T) {
	t.Helper()
	const dir = "/sys/kernel/tracing"
	outside.Must(t, unix.Mount("tracefs", dir, "tracefs", 0, ""))
	t.Cleanup(func() { outside.Must(t, unix.Unmount(dir, 0)) })
}

// setSysctl sets a sysctl during the test.
func setSysctl(t *testing.T, name, value string) {
	t.Helper()
	path := "/proc/sys/" + name
	old, err := os.ReadFile(path)
	outside.Must(t, err)
	outside.Must(t, os.WriteFile(path, []byte(value), 0))
	t.Cleanup(func() { outside.Must(t, os.WriteFile(path, old, 0)) })
}
