// SPDX-License-Identifier: Apache-2.0

package oom

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/headroom-project/headroom/internal/testutil/cgroups"
)

// newPod makes a cgroup and a child cgroup.
func newPod(t *testing.T) (pod, container *cgroups.Group) {
	t.Helper()
	if !cgroups.Has(cgroups.Memory) {
		t.Skip("no memory controller here")
	}
	path := fmt.Sprintf("/headroom-cgroupmem-%d", os.Getpid())
	return makeGroup(t, path), makeGroup(t, path+"/container")
}

func makeGroup(t *testing.T, path string) *cgroups.Group {
	t.Helper()
	g, err := cgroups.New(path, nil, cgroups.Memory)
	if errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.EROFS) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Delete(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// eater starts the helper in a cgroup, lets it allocate memory, and waits until it is killed.
func eater(t *testing.T, group *cgroups.Group) (pid int) {
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
	if err := group.Add(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
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

// TestGuestVictim checks a process that is killed at the limit of its own cgroup,
// and one that is killed at the limit of the parent.
func TestGuestVictim(t *testing.T) {
	for _, of := range []string{"container", "pod"} {
		t.Run(of, func(t *testing.T) {
			pod, container := newPod(t)
			p := open(t)
			limited := map[string]*cgroups.Group{"container": container, "pod": pod}[of]
			if err := limited.Update(cgroups.MemoryLimit(limit)); err != nil {
				t.Fatal(err)
			}
			pid := eater(t, container)
			v := only(t, p)
			if int(v.Pid) != pid || v.Comm == "" {
				t.Errorf("victim = %d %q, want %d", v.Pid, v.Comm, pid)
			}
			// Pages that a CPU has not added to the total are missing: a few on each.
			if v.Anon < limit/2 || v.Anon > limit+limit/8 {
				t.Errorf("memory = %d MB, want most of %d MB", v.Anon>>20, limit>>20)
			}
			if got, want := v.Cgroup, container.Path; got != want {
				t.Errorf("cgroup = %s, want %s", got, want)
			}
			if got, want := v.LimitedBy, limited.Path; !v.Limited || got != want || v.Limit != limit {
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

// TestGuestOtherKills checks that a kill for another reason is not reported.
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
