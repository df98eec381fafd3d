// SPDX-License-Identifier: Apache-2.0

package view

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/bpf/self"
)

// Lines of /proc/2/stat on Debian 12 (6.1): of kthreadd in the initial pid namespace,
// and of a shell that is pid 2 in a container.
const (
	kthreaddStat = "2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 2 0 0 18446744073709551615 0 0 0 0 0 0 0 2147483647 0 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
	shellStat    = "2 (sh) S 1 2 1 0 -1 4194560 94 0 0 0 0 0 0 0 20 0 1 0 8171 2650112 224 18446744073709551615 1 1 0 0 0 0 0 0 65538 1 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
)

// A tree is a /proc: content of files by path; content that begins with -> is a
// symbolic link.
type tree map[string]string

func (files tree) at(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if to, link := strings.CutPrefix(text, "->"); link {
			err = errors.Join(err, os.Symlink(to, path))
		} else {
			err = errors.Join(err, os.WriteFile(path, []byte(text), 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// check checks that a gap contains reason and cure; with an empty reason, that there is
// no gap.
func check(t *testing.T, name string, got *observe.Gap, reason, cure string) {
	t.Helper()
	switch {
	case got == nil && reason != "":
		t.Errorf("%s: no gap, want %q", name, reason)
	case got != nil && reason == "":
		t.Errorf("%s: %q, want no gap", name, got.Reason)
	case got != nil && (got.Source != observe.GapView || !strings.Contains(got.Reason, reason) || !strings.Contains(got.Cure, cure)):
		t.Errorf("%s: %q, fix %q, source %s; want %q, fix %q, source view", name, got.Reason, got.Cure, got.Source, reason, cure)
	}
}

func TestProcesses(t *testing.T) {
	own := strconv.Itoa(os.Getpid())
	const init = "1 (systemd) S 0 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 1 0 0\n"
	for _, c := range []struct {
		name         string
		files        tree
		reason, cure string
	}{
		{"the host's", tree{"self": "->" + own, "1/stat": init, "2/stat": kthreaddStat}, "", ""},
		{"an empty one", tree{}, "does not show headroom itself", "mount the /proc of the host"},
		{"a container's", tree{"self": "->" + own, "1/stat": init, "2/stat": shellStat, own + "/ns/pid": "->pid:[4026532281]"},
			"pid namespace of its own", "--pid=host"},
		{"a container's with one process", tree{"self": "->" + own, "1/stat": init, own + "/ns/pid": "->pid:[4026532281]"},
			"pid namespace of its own", "hostPID"},
		{"the host's with hidepid", tree{"self": "->" + own, own + "/ns/pid": "->pid:[4026531836]"}, "hidepid", "CAP_SYS_PTRACE"},
		{"the host's, seen from a container", tree{"self": "->1" + own, "1/stat": init, "1" + own + "/ns/pid": "->pid:[4026531836]"},
			"pid namespace of its own", "--pid=host"},
	} {
		check(t, c.name, Processes(c.files.at(t)), c.reason, c.cure)
	}
}

// truth returns the answer of eBPF on a host without problems.
func truth(t *testing.T) self.Answer {
	t.Helper()
	st, err := stat("/proc", os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	return self.Answer{
		PID: uint32(os.Getpid()), Start: st.Starttime*uint64(userTick) + 1234, Tasks: 100, Whole: true,
		Monotonic: uint64(clock(unix.CLOCK_MONOTONIC)), BootTime: uint64(clock(unix.CLOCK_BOOTTIME)),
	}
}

func TestAgree(t *testing.T) {
	none := tree{}.at(t)
	for _, c := range []struct {
		name         string
		proc         string
		change       func(*self.Answer)
		reason, cure string
	}{
		{"eBPF and /proc agree", "/proc", func(*self.Answer) {}, "", ""},
		{"a clock that is late by a tick", "/proc", func(a *self.Answer) { a.Monotonic -= uint64(10 * time.Millisecond) }, "", ""},
		{"another pid", "/proc", func(a *self.Answer) { a.PID++ }, fmt.Sprintf("headroom is pid %d for eBPF and %d there", os.Getpid()+1, os.Getpid()), "--pid=host"},
		{"a /proc without headroom", none, func(*self.Answer) {}, "not shown", "--pid=host"},
		{"the threads of a namespace alone", "/proc", func(a *self.Answer) { a.Whole, a.Tasks = false, 7 }, "the 7 threads", "--pid=host"},
		{"another start", "/proc", func(a *self.Answer) { a.Start += uint64(time.Hour) }, "headroom started", "time namespace"},
		{"another monotonic clock", "/proc", func(a *self.Answer) { a.Monotonic += uint64(time.Hour) }, "clocks of eBPF", "time namespace"},
		{"another clock since boot", "/proc", func(a *self.Answer) { a.BootTime -= uint64(time.Minute) }, "clocks of eBPF", "time namespace"},
	} {
		got, err := Agree(c.proc, func() (self.Answer, error) {
			a := truth(t)
			c.change(&a)
			return a, nil
		})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		check(t, c.name, got, c.reason, c.cure)
	}
	refused := errors.New("refused")
	if got, err := Agree("/proc", func() (self.Answer, error) { return self.Answer{}, refused }); got != nil || !errors.Is(err, refused) {
		t.Errorf("where eBPF cannot be asked: %v, %v, want its error", got, err)
	}
}

// TestCgroups checks the inode that identifies a cgroup root: the root of a hierarchy
// has inode 1 in its mount, and a directory below it, such as the root of a cgroup
// namespace, has another inode.
func TestCgroups(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting takes root")
	}
	root := t.TempDir()
	if err := unix.Mount("headroom-test", root, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(root, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	for _, dir := range []string{"v2", "v1/memory", "none"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"", "v2"} {
		if err := os.WriteFile(filepath.Join(root, dir, "cgroup.procs"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const below, cure = "begins at headroom's own", "--cgroupns=host"
	check(t, "the root of cgroup v2", Cgroups(root), "", "")
	check(t, "a cgroup of v2", Cgroups(filepath.Join(root, "v2")), below, cure)
	check(t, "a controller of v1 below its root", Cgroups(filepath.Join(root, "v1")), below, cure)
	check(t, "no cgroups", Cgroups(filepath.Join(root, "none")), "", "")
}
