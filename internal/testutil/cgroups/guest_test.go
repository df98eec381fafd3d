// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/internal/testutil/outside"
)

func newGroup(t *testing.T, path string, controllers ...Controller) *Group {
	t.Helper()
	g, err := New(path, nil, controllers...)
	outside.Must(t, err)
	t.Cleanup(func() {
		outside.Must(t, g.Kill())
		outside.Must(t, g.Delete())
	})
	return g
}

// name returns a cgroup name that is unique for the test and the process.
func name(t *testing.T) string {
	return "headroom-cgroups-" + strings.ToLower(filepath.Base(t.Name())) + "-" + strconv.Itoa(os.Getpid())
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	outside.Must(t, err)
	return strings.TrimSpace(string(text))
}

// TestGuestLimits compares initial and updated limits with the kernel's files.
func TestGuestLimits(t *testing.T) {
	g := newGroup(t, name(t)+"/a", CPU, Memory, Unified)
	memory := map[bool]string{false: "memory.limit_in_bytes", true: "memory.max"}[V2()]
	for _, cores := range []float64{0.2, 1.5} {
		outside.Must(t, g.Update(CPULimit(cores)))
		outside.Must(t, g.Update(MemoryLimit(int64(64*cores)<<20)))
		want := strconv.Itoa(int(cores * 100_000))
		got := strings.Fields(read(t, g.Dir(CPU)+map[bool]string{false: "/cpu.cfs_quota_us", true: "/cpu.max"}[V2()]))[0]
		if got != want {
			t.Errorf("quota = %s, want %s", got, want)
		}
		if got, want := read(t, g.Dir(Memory)+"/"+memory), strconv.FormatInt(int64(64*cores)<<20, 10); got != want {
			t.Errorf("%s = %s, want %s", memory, got, want)
		}
	}
}

// TestGuestProcesses starts a program in a cgroup, moves one to it, and kills both.
func TestGuestProcesses(t *testing.T) {
	g := newGroup(t, name(t)+"/pod/container", CPU, CPUAcct, Memory, Unified)
	inside, moved := g.Command("sleep", "100"), exec.Command("sleep", "100")
	outside.Must(t, inside.Start())
	outside.Must(t, moved.Start())
	outside.Must(t, g.Add(moved.Process.Pid))
	want := []int{inside.Process.Pid, moved.Process.Pid}
	slices.Sort(want)
	outside.Eventually(t, patience, "both processes are in the group", func() bool {
		got, err := g.Processes()
		outside.Must(t, err)
		slices.Sort(got)
		return slices.Equal(got, want)
	})
	for _, dir := range g.dirs {
		if text := read(t, dir+"/cgroup.procs"); len(strings.Fields(text)) != 2 {
			t.Errorf("processes in %s = %q, want two", dir, text)
		}
	}
	outside.Must(t, g.Kill())
	for _, cmd := range []interface{ Wait() error }{inside, moved} {
		if err := cmd.Wait(); err == nil || err.Error() != "signal: killed" {
			t.Errorf("a process of the group ended with %v, want a kill", err)
		}
	}
}

// TestGuestDelete removes a cgroup as soon as its process has ended, with its
// parents, but not a parent that another cgroup uses.
func TestGuestDelete(t *testing.T) {
	top := name(t)
	other := newGroup(t, top+"/used/other", CPU, Unified)
	g, err := New(top+"/used/pod/container", nil, CPU, Unified)
	outside.Must(t, err)
	cmd := g.Command("sleep", "0.3")
	outside.Must(t, cmd.Start())
	outside.Eventually(t, patience, "the process is in the group", func() bool {
		pids, err := g.Processes()
		return err == nil && len(pids) == 1
	})
	waited := make(chan error)
	go func() { waited <- cmd.Wait() }()
	outside.Must(t, g.Delete())
	outside.Must(t, <-waited)
	for _, dir := range g.dirs {
		if _, err := os.Stat(filepath.Dir(dir)); !os.IsNotExist(err) {
			t.Errorf("the pod's cgroup above %s was not removed: %v", dir, err)
		}
	}
	for _, dir := range other.dirs {
		if _, err := os.Stat(dir); err != nil {
			t.Errorf("another group was removed: %v", err)
		}
	}
}

// TestGuestThrottled runs a busy process under a CPU limit.
func TestGuestThrottled(t *testing.T) {
	g := newGroup(t, name(t), CPU, Unified)
	outside.Must(t, g.Update(CPULimit(0.2)))
	cmd := g.Command("sh", "-c", "while :; do :; done")
	outside.Must(t, cmd.Start())
	defer cmd.Wait() //nolint:errcheck // killed
	outside.Eventually(t, patience, "the group is throttled", func() bool {
		d, err := g.Throttled()
		outside.Must(t, err)
		return d > 100*time.Millisecond
	})
	outside.Must(t, g.Kill())
}

// TestNoSuchController expects an error, and that no cgroup remains.
func TestNoSuchController(t *testing.T) {
	if V2() {
		t.Skip("on v2 the kernel names the controllers")
	}
	if _, err := New(name(t), nil, CPU, "nosuch"); err == nil || !strings.Contains(err.Error(), "nosuch") {
		t.Errorf("error = %v, want one that names the controller", err)
	}
	if _, err := os.Stat(filepath.Join(Root(CPU), name(t))); !os.IsNotExist(err) {
		t.Errorf("the cgroup was not removed: %v", err)
	}
}
