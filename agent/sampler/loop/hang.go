// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/bpf/tick"
)

// The probe discovers a loop when it waits. A loop that already hangs when headroom
// starts does not wait, so loops of runtimes whose main thread is known to run one
// are searched in /proc: a main thread that has an epoll instance and is not
// waiting. The time since when it hangs is not known; it is reported from the first
// reading on.

// mainLoops holds the runtimes whose main thread always runs the loop.
var mainLoops = []string{"node", "bun", "deno", "redis"}

const (
	// maxHanging is the maximum number of processes followed this way.
	maxHanging = 64
	// hangAfter is the time without a wait after which a thread is reported: a loop
	// that was merely in a tick at the first reading has returned long before.
	hangAfter = 500 * time.Millisecond
	// maxDescriptors limits the search for an epoll instance: a loop creates it when
	// it starts, so it has a low number.
	maxDescriptors = 256
)

// hanging is a main thread that was not waiting at the first reading.
type hanging struct {
	process  observe.ID
	pid      int
	from     time.Time
	cpu, run float64 // seconds, at from
}

// findHanging searches, at the first reading, for loops that the probe could not
// find because they are in a tick.
func (r *reader) findHanging() {
	if !r.probe.Features().Scan {
		return // loops that wait would be unknown too, and look the same
	}
	for id := observe.ID(0); int(id) < r.host.Index.Len() && len(r.hanging) < maxHanging; id++ {
		info := r.host.Index.Info(id)
		pid, err := strconv.Atoi(info.Attrs[catalog.AttrPID])
		if err != nil || !slices.Contains(mainLoops, info.Attrs[catalog.AttrRuntime]) || r.known[uint32(pid)] != nil {
			continue
		}
		if r.host.Index.Entity(id).Kind != observe.Process || r.isFork(id, pid) || !r.hasEpoll(pid) {
			continue
		}
		if cpu, run, ok := r.mainThread(pid); ok {
			r.hanging = append(r.hanging, &hanging{process: id, pid: pid, from: time.Now(), cpu: cpu, run: run})
		}
	}
}

// isFork reports whether a process is a child that redis forks to save its data: it
// has the parent's epoll instance, runs for a long time and serves no client.
func (r *reader) isFork(id observe.ID, pid int) bool {
	attrs := r.host.Index.Info(id).Attrs
	return attrs[catalog.AttrRuntime] == "redis" && r.host.Index.Attr(r.parent(pid), catalog.AttrRuntime) == "redis"
}

// parent returns the process that started pid, or None.
func (r *reader) parent(pid int) observe.ID {
	stat, err := os.ReadFile(r.file(pid, "stat"))
	if err != nil {
		return observe.None
	}
	s, _, err := sampler.ParseStat(stat)
	if err != nil {
		return observe.None
	}
	id, ok := r.host.Identity.Current(s.Parent)
	if !ok {
		return observe.None
	}
	return id
}

func (r *reader) file(pid int, name string) string {
	return filepath.Join(r.host.Proc, strconv.Itoa(pid), name)
}

func (r *reader) hasEpoll(pid int) bool {
	for fd := range maxDescriptors {
		link, err := os.Readlink(r.file(pid, "fd/"+strconv.Itoa(fd)))
		if err == nil && link == "anon_inode:[eventpoll]" {
			return true
		}
	}
	return false
}

// mainThread returns the CPU time of a process's main thread and the time that
// it waited for a CPU, in seconds.
//
//	1234567890 4567890 123
func (r *reader) mainThread(pid int) (cpu, run float64, ok bool) {
	b, err := os.ReadFile(r.file(pid, "schedstat"))
	fields := bytes.Fields(b)
	if err != nil || len(fields) < 2 {
		return 0, 0, false
	}
	cpu, err1 := strconv.ParseFloat(string(fields[0]), 64)
	run, err2 := strconv.ParseFloat(string(fields[1]), 64)
	return cpu / 1e9, run / 1e9, err1 == nil && err2 == nil
}

// tellHanging writes the loops that still have not waited, and drops the others:
// the probe reports those from their first wait on.
func (r *reader) tellHanging(s *observe.Snapshot) {
	r.hanging = slices.DeleteFunc(r.hanging, func(h *hanging) bool {
		if r.known[uint32(h.pid)] != nil {
			return true
		}
		id, ok := r.host.Identity.Current(h.pid)
		if !ok || id != h.process {
			return true
		}
		cpu, run, ok := r.mainThread(h.pid)
		if !ok {
			return true
		}
		if elapsed := time.Since(h.from); elapsed >= hangAfter {
			r.hang(s, h, elapsed.Seconds(), cpu-h.cpu, run-h.run)
		}
		return false
	})
}

func (r *reader) hang(s *observe.Snapshot, h *hanging, elapsed, cpu, run float64) {
	parts := observe.Parts{CPU: min(cpu, elapsed)}
	// /proc does not distinguish throttling by a quota from a run queue; cpu-throttled
	// does.
	parts.RunQueue = min(run, elapsed-parts.CPU)
	parts.Blocked = elapsed - parts.CPU - parts.RunQueue
	if parts.Blocked < clockSkew*elapsed {
		parts.CPU += parts.Blocked
		parts.Blocked = 0
	}
	tid := strconv.Itoa(h.pid)
	id := describe(r.host, h.process, tid, map[string]string{catalog.AttrTID: tid, catalog.AttrLoopKind: "epoll"})
	stall := observe.Stall{Loop: id, Start: h.from.UTC(), Duration: elapsed, Parts: parts, InProgress: true}
	if parts.Blocked > 0 {
		stall.Syscall = r.sleepingIn(h.pid)
	}
	writeCurrent(s, id, elapsed, parts, false)
	s.Stalls = append(s.Stalls, stall)
}

// clockSkew is the share of a tick that may be missing from CPU and run-queue time
// because the kernel updates schedstat only at scheduler ticks.
const clockSkew = 0.02

// sleepingIn names the system call that a process's main thread is in.
//
//	202 0x7f… 0x80 …        futex
//	running
func (r *reader) sleepingIn(pid int) string {
	if r.isHeld(pid) {
		return callName(tick.CallStopped)
	}
	b, err := os.ReadFile(r.file(pid, "syscall"))
	if err != nil {
		return "" // another user's process, or CONFIG_HAVE_ARCH_TRACEHOOK is off
	}
	number, _, _ := bytes.Cut(b, []byte(" "))
	nr, err := strconv.ParseInt(string(number), 10, 32)
	if err != nil || nr < 0 {
		return ""
	}
	return callName(int32(nr))
}

// held holds the kernel functions in which a thread waits while a signal, a tracer
// or a freezer stops it (kernel/signal.c, kernel/freezer.c). get_signal does not
// wait itself, unless the compiler inlined do_freezer_trap.
var held = []string{"do_signal_stop", "ptrace_stop", "do_jobctl_trap", "do_freezer_trap", "get_signal", "__refrigerator"}

// isHeld reports whether the main thread of a process is stopped; then it does not
// wait for the system call that it was in.
func (r *reader) isHeld(pid int) bool {
	b, err := os.ReadFile(r.file(pid, "wchan"))
	return err == nil && slices.Contains(held, string(b))
}

// describe interns the loop of a thread, and describes it again if it changed: it
// started to share its descriptor, or to run another program.
func describe(host *sampler.Host, process observe.ID, tid string, attrs map[string]string) observe.ID {
	parent := host.Index.Entity(process)
	id := host.Index.ID(observe.Entity{Kind: observe.Loop, ID: parent.ID + "/" + tid})
	if !maps.Equal(host.Index.Info(id).Attrs, attrs) {
		host.Index.Describe(id, observe.Info{Parent: parent, Attrs: attrs})
	}
	return id
}
