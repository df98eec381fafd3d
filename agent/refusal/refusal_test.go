// SPDX-License-Identifier: Apache-2.0

package refusal

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestLimit(t *testing.T) {
	for err, want := range map[error]string{
		unix.EMFILE: "ulimit -n", unix.ENFILE: "fs.file-max", unix.ENOMEM: "memory limit",
		unix.ENOENT: "", unix.EPERM: "", unix.EIO: "",
	} {
		r := Limit(fmt.Errorf("open: %w", err))
		if (r == nil) != (want == "") || r != nil && !strings.Contains(r.Fix, want) {
			t.Errorf("%v is explained by %+v, want a fix with %q", err, r, want)
		}
	}
}

// TestOpenFiles checks that the fix is a limit higher than the current one.
func TestOpenFiles(t *testing.T) {
	for limit, want := range map[uint64]string{0: "", 1: "ulimit -n 1024,", 255: "ulimit -n 1024,", 256: ""} {
		r := FewFiles(limit)
		if (r == nil) != (want == "") || r != nil && !strings.Contains(r.Fix, want) {
			t.Errorf("a limit of %d: %+v, want a fix with %q", limit, r, want)
		}
	}
	if r := openFiles(4096); !strings.Contains(r.Fix, "ulimit -n 16384,") {
		t.Errorf("a limit of 4096 that was reached: %+v", r)
	}
}

// TestEffective checks that the capabilities read from /proc are those that the kernel
// returns.
func TestEffective(t *testing.T) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := effective(string(status)), heldCapabilities(); got != want {
		t.Errorf("capabilities %x, want %x", got, want)
	}
	if got := effective("Name:\tx\nCapEff:\tnone\n"); got != 0 {
		t.Errorf("capabilities %x of an unreadable line", got)
	}
}

// TestCall checks the causes of EPERM and other errors for different privileges.
func TestCall(t *testing.T) {
	all := uint64(1<<unix.CAP_BPF | 1<<unix.CAP_PERFMON)
	for name, c := range map[string]struct {
		err    error
		own    Privileges
		probed error
		want   string // part of the reason, "" for none
	}{
		"no capability":             {unix.EPERM, Privileges{}, unix.EPERM, "without CAP_BPF and CAP_PERFMON"},
		"none, and a filter":        {unix.EPERM, Privileges{Seccomp: true}, unix.EPERM, "without CAP_BPF and CAP_PERFMON"},
		"one capability":            {unix.EPERM, Privileges{Held: 1 << unix.CAP_BPF}, unix.EINVAL, "without CAP_PERFMON"},
		"CAP_SYS_ADMIN for both":    {unix.EPERM, Privileges{Held: 1 << unix.CAP_SYS_ADMIN}, unix.EINVAL, ""},
		"in a user namespace":       {unix.EPERM, Privileges{Held: ^uint64(0), UserNamespace: true}, unix.EPERM, "user namespace"},
		"a filter":                  {unix.EPERM, Privileges{Held: all, Seccomp: true}, unix.EPERM, "seccomp"},
		"a filter that lets it by":  {unix.EPERM, Privileges{Held: all, Seccomp: true}, unix.EINVAL, ""},
		"a filter without the call": {unix.ENOSYS, Privileges{Held: all, Seccomp: true}, unix.ENOSYS, "seccomp"},
		"a kernel without the call": {unix.ENOSYS, Privileges{Held: all}, unix.ENOSYS, "the kernel has no bpf(2)"},
		"the verifier":              {unix.EACCES, Privileges{Held: all}, unix.EINVAL, ""},
		"bad arguments":             {unix.EINVAL, Privileges{Held: all}, unix.EINVAL, ""},
	} {
		r := LoadPrograms.explain(fmt.Errorf("load program: %w", c.err), c.own, c.probed)
		if (r == nil) != (c.want == "") || r != nil && (!strings.Contains(r.Reason, c.want) || r.Fix == "") {
			t.Errorf("%s: %+v, want %q", name, r, c.want)
		}
	}
}

// TestProbe checks that a kernel that allows the calls returns that the arguments of
// the probes are invalid.
func TestProbe(t *testing.T) {
	if own := Own(); os.Getuid() != 0 || own.UserNamespace || len(own.Missing(BPF, Perfmon)) > 0 {
		t.Skip("needs CAP_BPF and CAP_PERFMON")
	}
	for _, c := range []*Call{LoadPrograms, OpenTracepoints} {
		if err := c.probe(); err != syscall.EINVAL && err != unix.E2BIG {
			t.Errorf("the probe of %s: %v, want %v", c.name, err, unix.EINVAL)
		}
	}
}

func TestHidden(t *testing.T) {
	for _, path := range []string{"/sys/kernel/no-such-file", "/proc/no-such-file", "/proc/self/stat", filepath.Join(t.TempDir(), "x"), "/sys", "/system"} {
		if r := Hidden(path); r != nil {
			t.Errorf("%s is said to be hidden: %+v", path, r)
		}
	}
	// Another file system is in the way, such as a mount over a directory of /sys.
	dir := t.TempDir()
	if got := hiddenBy(filepath.Join(dir, "btf", "vmlinux"), dir, unix.SYSFS_MAGIC); got != dir {
		t.Errorf("hidden by %q, want %q", got, dir)
	}
	if got := hiddenBy("/proc/self/stat", "/proc", unix.PROC_SUPER_MAGIC); got != "" {
		t.Errorf("hidden by %q, want nothing", got)
	}
}
