// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"os"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/bpf/tick"
)

// An iterator reads all threads of the host in one pass over the kernel's
// task list.
type iterator struct {
	probe *tick.Probe
}

func (it iterator) scan(r *reader) error {
	return it.probe.ReadThreads(r.task)
}

// countsIO checks whether the kernel counts the bytes that tasks read and write.
func (r *reader) countsIO(proc string) {
	if _, err := os.Stat(proc + "/self/io"); err == nil {
		r.io = true
		return
	}
	r.gaps = append(r.gaps, observe.Gap{Source: name, Reason: "the kernel does not count disk I/O of processes", Cure: "use a kernel built with CONFIG_TASK_IO_ACCOUNTING"})
}

// running is the state of a thread that runs or waits for a CPU (proc(5)).
const running = 'R'

func (iterator) close() {} // the probe belongs to Host.Probes

// task adds one thread to its process. Threads arrive in the order of their IDs, so
// those of a process are not adjacent.
func (r *reader) task(t *tick.Thread) {
	pid, tid := int(t.Tgid), int(t.Tid)
	leader := pid == tid
	dead := t.State == 'Z' || t.State == 'X'
	if dead && (!leader || r.procs[pid] == nil) {
		return
	}
	p := r.process(pid)
	if p == nil {
		return
	}
	p.cpu = sampler.Sum(p.cpu, t.CPU)
	p.complete = true
	if leader {
		p.start, p.kernel = t.Start/uint64(userTick), t.Kernel
		p.cpu = sampler.Sum(p.cpu, t.ExitedThreadsCPU)
	}
	if !dead {
		p.alive = r.round
		p.count++
	}
	p.counts.add(t, r.io)
	if p.left {
		return
	}
	u := usage{cpu: t.CPU, delay: t.RunDelay, runs: t.Runs}
	if t.Kernel {
		p.used = p.used.plus(u)
		return
	}
	th := r.thread(p, tid, t.Start/uint64(userTick), u)
	th.asleep = t.State != running
	th.system, th.systemKnown = t.System, true
	if th.shown && (tid+r.round)%slowEvery == 0 {
		r.identity.Renamed(p.id, tid, t.Comm())
	}
}
