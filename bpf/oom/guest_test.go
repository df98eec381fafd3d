// SPDX-License-Identifier: Apache-2.0

package oom

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// memoryRoot is where the memory controller is, v1 or v2.
func memoryRoot(t *testing.T) (root, limit string) {
	t.Helper()
	if _, err := os.Stat("/sys/fs/cgroup/memory/memory.limit_in_bytes"); err == nil {
		return "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
	}
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		return "/sys/fs/cgroup", "memory.max"
	}
	t.Skip("no memory controller here")
	return "", ""
}

// newPod makes a group and one in it.
func newPod(t *testing.T, root string) (pod, container string) {
	t.Helper()
	pod = filepath.Join(root, fmt.Sprintf("headroom-cgroupmem-%d", os.Getpid()))
	container = filepath.Join(pod, "container")
	for _, dir := range []string{root, pod} {
		if dir == pod {
			makeGroup(t, pod)
		}
		if _, err := os.Stat(filepath.Join(dir, "cgroup.subtree_control")); err == nil {
			write(t, filepath.Join(dir, "cgroup.subtree_control"), "+memory")
		}
	}
	makeGroup(t, container)
	return pod, container
}

func makeGroup(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.EROFS) {
		t.Skip("cannot make a cgroup:", err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	})
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0); err != nil {
		t.Fatal(err)
	}
}

// eater starts the helper in a group, lets it eat, and waits for its death.
func eater(t *testing.T, group string) (pid int) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), helperMode+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(group, "cgroup.procs"), strconv.Itoa(cmd.Process.Pid))
	if _, err := in.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	if s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || s.Signal() != syscall.SIGKILL {
		t.Fatalf("the helper ended with %v, want a kill", err)
	}
	return cmd.Process.Pid
}

const limit = 48 << 20

// TestGuestVictim has a process killed under the limit of its own group, and
// under that of the group above.
func TestGuestVictim(t *testing.T) {
	root, file := memoryRoot(t)
	for _, of := range []string{"container", "pod"} {
		t.Run(of, func(t *testing.T) {
			pod, container := newPod(t, root)
			p := open(t)
			limited := map[string]string{"container": container, "pod": pod}[of]
			write(t, filepath.Join(limited, file), strconv.Itoa(limit))
			pid := eater(t, container)
			v := only(t, p)
			if int(v.Pid) != pid || v.Comm == "" {
				t.Errorf("victim = %d %q, want %d", v.Pid, v.Comm, pid)
			}
			// What a CPU counted for itself is not in the count: some pages on each.
			if v.Anon < limit/2 || v.Anon > limit+limit/8 {
				t.Errorf("memory = %d MB, want most of %d MB", v.Anon>>20, limit>>20)
			}
			if got, want := v.Cgroup, strings.TrimPrefix(container, root); got != want {
				t.Errorf("cgroup = %s, want %s", got, want)
			}
			if got, want := v.LimitedBy, strings.TrimPrefix(limited, root); !v.Limited || got != want || v.Limit != limit {
				t.Errorf("limited %v by %q at %d, want by %s at %d", v.Limited, got, v.Limit, want, limit)
			}
			if v.Start == 0 || v.Time < v.Start && v.Time == 0 {
				t.Errorf("start = %d, time = %d, want both", v.Start, v.Time)
			}
			if p.Lost() != 0 {
				t.Errorf("%d victims were lost, want none", p.Lost())
			}
		})
	}
}

func only(t *testing.T, p *Probe) Victim {
	t.Helper()
	var all []Victim
	if err := p.ReadVictims(func(v *Victim) { all = append(all, *v) }); err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 {
		t.Fatalf("victims = %+v, want one", all)
	}
	return all[0]
}

// TestGuestOtherKills wants no victim of a kill that has nothing to do with
// memory.
func TestGuestOtherKills(t *testing.T) {
	p := open(t)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), helperMode+"=1")
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the helper survived")
	}
	if err := p.ReadVictims(func(v *Victim) { t.Errorf("victim %+v, want none", *v) }); err != nil {
		t.Fatal(err)
	}
}
