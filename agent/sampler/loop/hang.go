// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/bpf/tick"
)

// The probe discovers a loop when it waits. A loop that already hangs when headroom
// starts does not wait, so /proc is searched for it: a process that serves clients, and
// no thread of which waits for them. The time since when it hangs is not known; it is
// reported from the first reading on.

const (
	// maxHanging is the maximum number of processes followed this way.
	maxHanging = 64
	// hangAfter is the time without a wait after which a thread is reported: a loop
	// that was merely in a tick at the first reading has returned long before.
	hangAfter = 500 * time.Millisecond
)

// hanging is a process with a loop that was not waiting at the first reading.
type hanging struct {
	process observe.ID
	pid     int
	kind    tick.Kind
	// unwaited holds the epoll instances on which no thread waited.
	unwaited []int32
	// waited is set when the probe has seen the loop wait.
	waited  bool
	from    time.Time
	threads map[int]times // by tid, at from
}

// times are seconds on a CPU and seconds waiting for one.
type times struct{ cpu, run float64 }

// findHanging searches, at the first reading, for loops that the probe could not
// find because they are in a tick.
func (r *reader) findHanging() {
	if !r.probe.Features().Scan {
		return // without the scan, loops that wait are unknown too and look the same
	}
	served := make(sockets)
	for id, pid := range r.processes() {
		if r.isFork(id, pid) {
			continue
		}
		h := r.stuck(pid, r.host.Index.Attr(id, catalog.AttrRuntime), served)
		if h == nil {
			continue
		}
		h.process = id
		if r.hanging = append(r.hanging, h); len(r.hanging) == maxHanging {
			return
		}
	}
}

// processes yields the known processes and their pids. Some may have ended: see lives.
func (r *reader) processes() iter.Seq2[observe.ID, int] {
	return func(yield func(observe.ID, int) bool) {
		for id := observe.ID(0); int(id) < r.host.Index.Len(); id++ {
			if r.host.Index.Entity(id).Kind != observe.Process {
				continue
			}
			pid, err := strconv.Atoi(r.host.Index.Attr(id, catalog.AttrPID))
			if err == nil && !yield(id, pid) {
				return
			}
		}
	}
}

// lives reports whether pid is still that process.
func (r *reader) lives(process observe.ID, pid int) bool {
	id, ok := r.host.Identity.Current(pid)
	return ok && id == process
}

// isFork reports whether a process is a child that redis forks to save its data: it
// has the parent's epoll instance, runs for a long time and serves no client.
func (r *reader) isFork(id observe.ID, pid int) bool {
	if r.host.Index.Attr(id, catalog.AttrRuntime) != "redis" {
		return false
	}
	parent, ok := r.host.Identity.Current(r.parent(pid))
	return ok && r.host.Index.Attr(parent, catalog.AttrRuntime) == "redis"
}

// parent returns the pid of the process that started pid, or 0.
func (r *reader) parent(pid int) int {
	stat, err := os.ReadFile(r.proc.file(pid, "stat"))
	if err != nil {
		return 0
	}
	s, _, err := sampler.ParseStat(stat)
	if err != nil {
		return 0
	}
	return s.Parent
}

// seenWaiting notes that the probe has a loop of a process that was suspected to hang.
func (r *reader) seenWaiting(l *tick.Loop) {
	for _, h := range r.hanging {
		if h.pid == int(l.Tgid) && (len(h.unwaited) == 0 || slices.Contains(h.unwaited, l.Epfd)) {
			h.waited = true
		}
	}
}

// tellHanging writes the loops that still have not waited, and drops the others, which
// the probe reports from their first wait on.
func (r *reader) tellHanging(s *observe.Snapshot) {
	r.hanging = slices.DeleteFunc(r.hanging, func(h *hanging) bool {
		if h.waited || !r.lives(h.process, h.pid) {
			return true
		}
		elapsed := time.Since(h.from)
		if elapsed < hangAfter {
			return false
		}
		tid, used := r.hangingThread(h, elapsed.Seconds())
		if tid == 0 {
			s.ProcessGap(h.process, "loop", fmt.Sprintf("%s (pid %d) has not waited for its clients since headroom started: one of its event loops hangs, and which of its threads is not known", r.command(h.process), h.pid),
				fmt.Sprintf("inspect the threads of process %d, for example with jstack or gdb", h.pid))
			return false
		}
		r.hang(s, h, tid, elapsed.Seconds(), used)
		return false
	})
}

// command returns the name of a process for a Gap.
func (r *reader) command(process observe.ID) string {
	return cmp.Or(catalog.Command(r.host.Index, process), "a process")
}

func (r *reader) hang(s *observe.Snapshot, h *hanging, tid int, elapsed float64, used times) {
	parts := observe.Parts{CPU: min(used.cpu, elapsed)}
	// /proc does not distinguish throttling by a quota from a run queue; cpu-throttled
	// does.
	parts.RunQueue = min(used.run, elapsed-parts.CPU)
	parts.Blocked = elapsed - parts.CPU - parts.RunQueue
	if parts.Blocked < clockSkew*elapsed {
		parts.CPU += parts.Blocked
		parts.Blocked = 0
	}
	name := strconv.Itoa(tid)
	id := describe(r.host, h.process, name, map[string]string{catalog.AttrTID: name, catalog.AttrLoopKind: h.kind.String()})
	stall := observe.Stall{Loop: id, Start: h.from.UTC(), Duration: elapsed, Parts: parts, InProgress: true}
	if parts.Blocked > 0 {
		stall.Syscall = r.sleepingIn(h.pid, tid)
	}
	writeCurrent(s, id, elapsed, parts, false)
	s.Stalls = append(s.Stalls, stall)
}

// clockSkew is the share of a tick that may be missing from CPU and run-queue time
// because the kernel updates schedstat only at scheduler ticks.
const clockSkew = 0.02

// sleepingIn returns the name of the system call that a thread is in.
func (r *reader) sleepingIn(pid, tid int) string {
	if r.isHeld(pid, tid) {
		return callName(tick.CallStopped)
	}
	call, ok := r.inSyscall(pid, tid)
	if !ok {
		return ""
	}
	return call.Name()
}

// held lists the kernel functions in which a thread waits while a signal, a tracer or a
// freezer stops it (kernel/signal.c, kernel/freezer.c). get_signal does not wait
// itself, unless the compiler inlined do_freezer_trap.
var held = []string{"do_signal_stop", "ptrace_stop", "do_jobctl_trap", "do_freezer_trap", "get_signal", "__refrigerator"}

// isHeld reports whether a thread is stopped; then it does not wait for the system
// call that it was in.
func (r *reader) isHeld(pid, tid int) bool {
	b, err := os.ReadFile(r.proc.task(pid, tid, "wchan"))
	return err == nil && slices.Contains(held, string(b))
}

// describe interns the loop of a thread, and describes it again if it changed because
// the thread started to share its descriptor or to run another program.
func describe(host *sampler.Host, process observe.ID, tid string, attrs map[string]string) observe.ID {
	parent := host.Index.Entity(process)
	id := host.Index.ID(observe.Entity{Kind: observe.Loop, ID: parent.ID + "/" + tid})
	if !maps.Equal(host.Index.Info(id).Attrs, attrs) {
		host.Index.Describe(id, observe.Info{Parent: parent, Attrs: attrs})
	}
	return id
}
