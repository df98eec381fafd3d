// SPDX-License-Identifier: Apache-2.0

// Package view checks the position of headroom on the host before anything is
// evaluated: whether /proc and the cgroup tree show the whole host, and whether
// eBPF and /proc agree about a known process, headroom itself.
//
// A problem is a gap of source view: with such a gap, the absence of findings does
// not mean healthy.
package view

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/refusal"
	"github.com/headroom-project/headroom/bpf/self"
)

// inHostPIDs is the fix if headroom does not see the processes of the host.
const inHostPIDs = "run it in the pid namespace of the host: docker run --pid=host, or hostPID: true in a pod"

const (
	// kthreadd is the pid of the parent of kernel threads, which exists only in the
	// initial pid namespace (rest_init in init/main.c).
	kthreadd = 2
	// kernelThread is PF_KTHREAD (include/linux/sched.h).
	kernelThread = 0x00200000
	// initialPIDs is the initial pid namespace (PROC_PID_INIT_INO in
	// include/linux/proc_ns.h, uapi since 6.18).
	initialPIDs = "pid:[4026531836]"
)

func gap(cure, reason string, args ...any) *observe.Gap {
	return &observe.Gap{Source: observe.GapView, Reason: fmt.Sprintf(reason, args...), Cure: cure}
}

// Processes returns why the /proc mounted at proc does not show every process of
// the host, or nil.
func Processes(proc string) *observe.Gap {
	own, err := ownPID(proc)
	switch {
	case err != nil:
		return gap("mount the /proc of the host there",
			"%s does not show headroom itself: no /proc is mounted there, or that of another pid namespace", proc)
	case !ofHost(proc, own):
		return gap(inHostPIDs, "headroom runs in a pid namespace of its own, as in a container: it observes the processes of that namespace, and none of the host or of other containers")
	case hidden(proc):
		return gap("run as root, or grant CAP_SYS_PTRACE", "%s hides the processes of other users from headroom (mount option hidepid)", proc)
	}
	return nil
}

// Files returns why headroom cannot open as many files as its sources need, or nil.
// A source that cannot open more files can report a value as absent by mistake.
func Files() *observe.Gap {
	if r := refusal.FewFiles(refusal.OpenFiles()); r != nil {
		return gap(r.Fix, "%s: some sources cannot be read", r.Reason)
	}
	return nil
}

// ownPID returns the pid of this process in proc.
func ownPID(proc string) (int, error) {
	link, err := os.Readlink(filepath.Join(proc, "self"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(link)
}

// ofHost reports whether proc is that of the initial pid namespace, the only one
// with kernel threads. If hidepid hides them, headroom's own namespace is checked.
func ofHost(proc string, own int) bool {
	if st, err := stat(proc, kthreadd); err == nil && st.Flags&kernelThread != 0 {
		return true
	}
	ns, err := os.Readlink(filepath.Join(proc, "self", "ns", "pid"))
	return err == nil && ns == initialPIDs && own == os.Getpid()
}

func stat(proc string, pid int) (procfs.ProcStat, error) {
	mount, err := procfs.NewFS(proc)
	if err != nil {
		return procfs.ProcStat{}, err
	}
	p, err := mount.Proc(pid)
	if err != nil {
		return procfs.ProcStat{}, err
	}
	return p.Stat()
}

// hidden reports whether processes are hidden: pid 1 exists in every namespace, and
// belongs to root.
func hidden(proc string) bool {
	_, err := os.ReadFile(filepath.Join(proc, "1", "stat"))
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)
}

const (
	// userTick is the unit of start times in /proc, 1/USER_HZ.
	userTick = 10 * time.Millisecond
	// slack is the maximum error of a clock in eBPF: the kernel reads it without a
	// lock, which can be late by a tick.
	slack = 20 * time.Millisecond
)

// Agree compares what ask returns from eBPF about this process with proc and the
// clocks of this process. It returns a gap for a difference, or nil. The error is
// that of ask.
func Agree(proc string, ask func() (self.Answer, error)) (*observe.Gap, error) {
	mono, boot := clock(unix.CLOCK_MONOTONIC), clock(unix.CLOCK_BOOTTIME)
	a, err := ask()
	if err != nil {
		return nil, err
	}
	own, err := ownPID(proc)
	if err != nil || own != int(a.PID) {
		return gap(inHostPIDs, "pids of eBPF are those of the host, and %s has others: headroom is pid %d for eBPF and %s there", proc, a.PID, pidText(own, err)), nil
	}
	if !a.Whole {
		return gap(inHostPIDs, "eBPF shows the %d threads of headroom's own pid namespace, and none of the host or of other containers", a.Tasks), nil
	}
	const ownTime = "run it outside of a time namespace (time_namespaces(7))"
	st, err := stat(proc, own)
	if err != nil {
		return nil, fmt.Errorf("reading when headroom started: %w", err)
	}
	if start := a.Start / uint64(userTick); start != st.Starttime {
		return gap(ownTime, "times of eBPF are those of the host, and %s has others: headroom started %.2f s after boot for eBPF and %.2f s there",
			proc, seconds(start), seconds(st.Starttime)), nil
	}
	if off(a.Monotonic, mono, clock(unix.CLOCK_MONOTONIC)) || off(a.BootTime, boot, clock(unix.CLOCK_BOOTTIME)) {
		return gap(ownTime, "the clocks of eBPF are those of the host, and headroom's are others, as in a time namespace"), nil
	}
	return nil, nil
}

func pidText(pid int, err error) string {
	if err != nil {
		return "not shown"
	}
	return strconv.Itoa(pid)
}

func seconds(ticks uint64) float64 { return float64(ticks) * userTick.Seconds() }

func clock(id int32) time.Duration {
	var now unix.Timespec
	if unix.ClockGettime(id, &now) != nil {
		return 0 // cannot fail: eBPF needs a newer kernel than either clock
	}
	return time.Duration(now.Nano())
}

// off reports whether a time from eBPF is not between two times of this process.
func off(ns uint64, before, after time.Duration) bool {
	t := time.Duration(ns) //nolint:gosec // 292 years
	return t < before-slack || t > after+slack
}

// Cgroups returns why the cgroup tree at tree does not show the whole host, or nil.
// The root of a hierarchy has inode 1; a container's mount starts below it.
func Cgroups(tree string) *observe.Gap {
	roots := []string{tree}
	if _, err := os.Stat(filepath.Join(tree, "cgroup.procs")); err != nil {
		roots = []string{filepath.Join(tree, "cpu"), filepath.Join(tree, "memory"), filepath.Join(tree, "unified")}
	}
	for _, root := range roots {
		var st unix.Stat_t
		if unix.Stat(root, &st) == nil && st.Ino != 1 {
			return CgroupGap("the tree of cgroups at %s begins at headroom's own: limits and usage of those outside it cannot be observed", tree)
		}
	}
	return nil
}

// CgroupGap returns a gap whose fix is another mount of the cgroup tree.
func CgroupGap(reason string, args ...any) *observe.Gap {
	return gap("mount the host's tree: docker run --cgroupns=host -v /sys/fs/cgroup:/sys/fs/cgroup:ro, or a hostPath volume in a pod", reason, args...)
}
