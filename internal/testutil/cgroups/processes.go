// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/containerd/cgroups/v3/cgroup1"
	"github.com/containerd/cgroups/v3/cgroup2"
)

// Add moves a running process into the cgroup.
func (g *Group) Add(pid int) error {
	var err error
	if g.v1 != nil {
		err = g.v1.AddProc(uint64(pid))
	}
	if g.v2 != nil {
		err = errors.Join(err, g.v2.AddProc(uint64(pid)))
	}
	return err
}

// Enter returns the start of a command line that joins the cgroup and then execs
// the program that follows, so that all its children start in the cgroup.
func (g *Group) Enter() []string {
	const join = `while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs" || exit; shift; done; shift; exec "$@"`
	return append(append([]string{"sh", "-c", join, "sh"}, g.dirs...), "--")
}

// Command returns a command that runs a program in the cgroup.
func (g *Group) Command(args ...string) *exec.Cmd {
	all := append(g.Enter(), args...)
	return exec.Command(all[0], all[1:]...)
}

// Processes returns the processes in the cgroup and below it.
func (g *Group) Processes() ([]int, error) {
	var pids []int
	if g.v2 != nil {
		all, err := g.v2.Procs(true)
		for _, pid := range all {
			pids = append(pids, int(pid))
		}
		return pids, err
	}
	all, err := g.v1.Processes(g.v1.Subsystems()[0].Name(), true)
	for _, p := range all {
		pids = append(pids, p.Pid)
	}
	return pids, err
}

// Throttled returns how long the cgroup was throttled.
func (g *Group) Throttled() (time.Duration, error) {
	if V2() {
		stat, err := g.v2.StatFiltered(cgroup2.StatCPU)
		return time.Duration(stat.GetCPU().GetThrottledUsec()) * time.Microsecond, err
	}
	stat, err := g.v1.Stat(cgroup1.IgnoreNotExist)
	return time.Duration(stat.GetCPU().GetThrottling().GetThrottledTime()), err
}

// Used returns the CPU time of the cgroup. The cgroup needs Unified.
func (g *Group) Used() (time.Duration, error) {
	stat, err := g.v2.StatFiltered(cgroup2.StatCPU)
	return time.Duration(stat.GetCPU().GetUsageUsec()) * time.Microsecond, err
}

// Freeze stops the tasks of the cgroup, as docker pause does. The cgroup needs Unified.
func (g *Group) Freeze() error { return g.v2.Freeze() }

// Thaw continues the tasks of the cgroup.
func (g *Group) Thaw() error { return g.v2.Thaw() }

// Kill kills the processes in the cgroup and below it, and waits until none is
// left. It does not use the library's Kill, which supports only v2 and reaps the
// caller's children on kernels before 5.14.
func (g *Group) Kill() error {
	for end := time.Now().Add(patience); ; time.Sleep(pause) {
		pids, err := g.Processes()
		if errors.Is(err, fs.ErrNotExist) || err == nil && len(pids) == 0 {
			return nil
		}
		if time.Now().After(end) {
			return errors.Join(fmt.Errorf("killing processes %v in the cgroup %s: they are still there after %v", pids, g.Path, patience), err)
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have exited
		}
	}
}

// Delete waits until all processes have ended, and removes the cgroup, those below
// it, and the parents that have no processes and no other children.
func (g *Group) Delete() error {
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(pause) {
		if err = g.delete(); err == nil {
			break
		}
	}
	g.prune()
	return err
}

// prune removes the cgroup and its parents up to the first one in use, which the
// kernel refuses to remove.
func (g *Group) prune() {
	for _, dir := range g.dirs {
		for path := g.Path; path != "/"; dir, path = filepath.Dir(dir), filepath.Dir(path) {
			if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				break
			}
		}
	}
}

const pause = 20 * time.Millisecond

func (g *Group) delete() error {
	var v1, v2 error
	if g.v1 != nil {
		if v1 = g.v1.Delete(); errors.Is(v1, cgroup1.ErrCgroupDeleted) {
			v1 = nil
		}
	}
	if g.v2 != nil {
		if v2 = g.v2.Delete(); errors.Is(v2, fs.ErrNotExist) {
			v2 = nil
		}
	}
	return errors.Join(v1, v2)
}
