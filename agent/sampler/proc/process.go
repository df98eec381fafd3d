// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// A process holds what is kept of a process between readings.
type process struct {
	pid   int
	start uint64 // clock ticks since boot
	id    observe.ID
	known bool // id is set
	round int  // the last reading that saw it
	alive int  // the last reading that saw a living thread of it
	since int  // the first reading that saw it

	kernel bool
	count  int // threads

	cpu     uint64 // ns
	lastCPU uint64 // in the previous reading
	share   float64

	// used is the sum over threads of running and waiting. complete is set if all
	// threads were read in this reading; retired is the sum of ended threads.
	used     usage
	complete bool
	retired  usage

	threads map[int]*thread
	shown   int // threads that are written to snapshots

	// left is set if the process is left out because the limit was reached; activity,
	// in cores, orders this choice; ranked is set once activity is valid.
	left, ranked bool
	activity     float64

	counts counts
	looked int // the last reading of the slowly changing values
	cpus   int // allowed CPUs, 0 if not known
	tree   treeState
}

// A thread holds what is kept of a thread between readings.
type thread struct {
	start uint64
	round int
	since int
	usage usage
	last  uint64 // cpu in the previous reading
	// delay is the kernel's count of the time that the thread waited for a CPU; excess
	// is the part of it that is impossible. asleep is set if the thread neither ran
	// nor waited at the last reading.
	delay, excess uint64
	asleep        bool
	// system is CPU time in the kernel, in ns, if systemKnown.
	system      uint64
	systemKnown bool
	shown       bool
	id          observe.ID
}

// userTick is the length of a clock tick: USER_HZ is 100 on every platform that Go
// supports.
const userTick = 10 * time.Millisecond

// process returns the process with a pid, nil if the limit is reached. A different
// start time means that the pid was reused.
func (r *reader) process(pid int) *process {
	p := r.procs[pid]
	if p == nil {
		if len(r.procs) >= maxProcesses {
			r.refused++
			return nil
		}
		p = &process{pid: pid, since: r.round}
		r.procs[pid] = p
	}
	if p.round != r.round {
		p.round, p.lastCPU = r.round, p.cpu
		p.used, p.complete, p.cpu, p.count, p.counts = usage{}, false, 0, 0, counts{}
	}
	return p
}

// thread adds one thread's usage to its process.
func (r *reader) thread(p *process, tid int, start uint64, u usage) *thread {
	if p.threads == nil {
		p.threads = make(map[int]*thread)
	}
	t := p.threads[tid]
	if t == nil || t.start != start || u.cpu < t.usage.cpu {
		if t != nil {
			p.retire(t)
		}
		t = &thread{start: start, since: r.round}
		p.threads[tid] = t
	} else {
		t.last = t.usage.cpu
		t.doubt(r, u)
	}
	t.delay = u.delay
	u.delay -= min(u.delay, t.excess)
	t.round, t.usage = r.round, u
	p.used = p.used.plus(u)
	return t
}

// slack is the maximum difference between the times at which a thread and the whole
// reading are taken: threads are read one after another.
const slack = 0.1

// doubt removes a wait that is longer than the time in which it can have happened.
// Since Linux 6.12 a thread that went to sleep stays on its run queue for a while.
// If it is moved to another CPU meanwhile, the kernel counts its whole sleep as a
// wait (sched_info_enqueue in enqueue_task, which is not undone where
// dequeue_entities ends the delay).
func (t *thread) doubt(r *reader, u usage) {
	if !t.asleep || t.round != r.round-1 || u.delay <= t.delay {
		return
	}
	if waited := u.delay - t.delay; seconds(waited)+seconds(u.cpu-t.usage.cpu) > r.seconds*(1+slack)+slack {
		t.excess += waited
	}
}

// retire keeps the usage of an ended thread, so that the sum of its process does
// not fall.
func (p *process) retire(t *thread) {
	p.retired = p.retired.plus(t.usage)
	if t.shown {
		p.shown--
	}
}

// write writes one process to the snapshot.
func (r *reader) write(s *observe.Snapshot, p *process) {
	id, ok := r.identity.Process(p.pid, p.start)
	if p.known && p.id != id {
		r.endID(s, p) // the pid was reused between two readings
		*p = process{pid: p.pid, start: p.start, round: p.round, since: r.round, kernel: p.kernel, count: p.count, cpu: p.cpu}
	}
	p.id, p.known = id, ok
	if !ok {
		return
	}
	p.share = 0
	if r.seconds > 0 && p.since < r.round && p.cpu > p.lastCPU {
		p.share = float64(p.cpu-p.lastCPU) / 1e9 / r.seconds
	}
	r.sweepThreads(s, p)
	s.Set(catalog.ProcessCPU, id, seconds(p.cpu))
	s.Set(catalog.ProcessThreads, id, float64(p.count))
	s.Set(catalog.ProcessAge, id, (r.now - time.Duration(p.start)*userTick).Seconds())
	if p.complete {
		all := p.used.plus(p.retired)
		s.Set(catalog.ProcessRunQueue, id, seconds(all.delay))
		s.Set(catalog.ProcessRuns, id, float64(all.runs))
	}
	r.writeThreads(s, p)
	p.counts.write(s, p)
	r.writeSlow(s, p)
}

func seconds(ns uint64) float64 { return float64(ns) / 1e9 }

// sweepThreads retires threads that this reading did not see, if it read all
// threads of the process.
func (r *reader) sweepThreads(s *observe.Snapshot, p *process) {
	if !p.complete {
		return
	}
	for tid, t := range p.threads {
		if t.round == r.round {
			continue
		}
		if t.shown {
			s.End(t.id, "exited")
		}
		p.retire(t)
		delete(p.threads, tid)
	}
}

// writeThreads writes the threads that use a CPU. A window needs two values, so a
// thread that was written once is always written. All threads of a busy process are
// written up to the limit, to have a first value of each.
func (r *reader) writeThreads(s *observe.Snapshot, p *process) {
	if p.kernel || !r.detail.Threads() {
		return
	}
	for tid, t := range p.threads {
		if t.round == r.round && !t.shown && p.shown < maxThreads && (r.isActive(t) || p.share >= busy && len(p.threads) <= maxThreads) {
			r.show(p, t, tid)
		}
	}
	if p.shown == 0 {
		return
	}
	for _, t := range p.threads {
		if t.shown && t.round == r.round {
			s.Set(catalog.ThreadCPU, t.id, seconds(t.usage.cpu))
			s.Set(catalog.ThreadRunQueue, t.id, seconds(t.usage.delay))
			if t.systemKnown {
				s.Set(catalog.ThreadSystem, t.id, seconds(t.system))
			}
		}
	}
}

// isActive reports whether a thread used enough CPU time since the previous
// reading, or, for a thread found by the first reading, over its lifetime. A thread
// that lived for one reading only is left out: it would only fill the index.
func (r *reader) isActive(t *thread) bool {
	if t.since == r.round {
		age := r.now.Seconds() - float64(t.start)*userTick.Seconds()
		return r.round == 1 && age > 0 && seconds(t.usage.cpu)/age >= active
	}
	return r.seconds > 0 && t.usage.cpu > t.last && seconds(t.usage.cpu-t.last)/r.seconds >= active
}

func (r *reader) show(p *process, t *thread, tid int) {
	t.id = r.identity.Thread(p.id, tid)
	t.shown = true
	p.shown++
}

// end removes a process that is gone.
func (r *reader) end(s *observe.Snapshot, p *process) {
	r.endID(s, p)
	delete(r.procs, p.pid)
}

func (r *reader) endID(s *observe.Snapshot, p *process) {
	p.tree.close(&r.files)
	for _, t := range p.threads {
		if t.shown {
			s.End(t.id, "exited")
		}
	}
	if p.known {
		s.End(p.id, "exited")
		r.identity.Ended(p.id)
	}
}
