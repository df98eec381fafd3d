// SPDX-License-Identifier: Apache-2.0

// Package proc samples processes and their threads: CPU time, waiting for a CPU,
// memory, disk I/O, age and allowed CPUs. It reads threads in one pass of an eBPF
// iterator where that is allowed, otherwise from /proc, with as few reads as
// possible. It never reads arguments or environments. A process that exits while it
// is read is normal.
package proc

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/bpf/tick"
)

const name = "proc"

// Sampler reads every process of the host.
var Sampler = &sampler.Sampler{
	Name: name,
	Doc:  "Reads CPU time, run-queue time, memory, disk I/O and limits of every process, and of the threads that used a CPU (eBPF task iterator, or /proc).",
	Provides: []*observe.Metric{catalog.ProcessCPU, catalog.ProcessRunQueue, catalog.ProcessRuns, catalog.ProcessMemory,
		catalog.ProcessThreads, catalog.ProcessAge, catalog.ProcessAffinity, catalog.ThreadCPU, catalog.ThreadSystem, catalog.ThreadRunQueue,
		catalog.ProcessAnon, catalog.ProcessMemoryPeak, catalog.ProcessSwap, catalog.ProcessMajorFaults, catalog.ProcessDiskRead, catalog.ProcessDiskWritten, catalog.ProcessDiskWaiting},
	Open: open,
}

const (
	// maxProcesses is the maximum number of processes in a snapshot: twice a full node
	// of 250 pods with 40 processes each.
	maxProcesses = 20_000
	// maxThreads is the maximum number of threads written for one process: a JVM under
	// load has about 200.
	maxThreads = 256
	// busy is the share of a core from which a process's threads and CPUs are read.
	busy = 0.05
	// active is the share of a core from which a thread is written. It excludes
	// threads that only wake up once a second.
	active = 0.001
	// slowEvery is the number of readings between two reads of the allowed CPUs, and
	// of memory if the iterator does not provide it.
	slowEvery = 10
	// shortest is the minimum time between readings for which shares are computed.
	shortest = 100 * time.Millisecond
)

// A source reads what every process and thread has used.
type source interface {
	// scan calls reader.process for each process and reader.thread for each thread
	// that it read.
	scan(*reader) error
	close()
}

type reader struct {
	index    *observe.Index
	identity sampler.Identity
	detail   *sampler.Detail
	source   source
	boottime func() time.Duration

	procs   map[int]*process
	round   int
	now     time.Duration // boot time of this reading
	seconds float64       // since the previous reading, 0 in the first
	refused int           // processes over maxProcesses in this reading
	files   files
	io      bool // the iterator provides disk I/O
	gaps    []observe.Gap
}

func open(h *sampler.Host) (sampler.Reader, error) {
	if _, err := os.Stat(h.Proc + "/self/stat"); err != nil {
		return nil, sampler.Unreadable(h.Proc+"/self/stat", err, sampler.NotSupported("mount /proc, in a container the host's", "no processes to be seen in %s", h.Proc))
	}
	r := newReader(h)
	probe, err := tasks(h)
	if err == nil {
		r.source = probe
		r.countsIO(h.Proc)
		return r, nil
	}
	r.withoutProbe(err)
	r.source, err = newTree(h.Proc, r)
	return r, err
}

func newReader(h *sampler.Host) *reader {
	return &reader{
		index: h.Index, identity: h.Identity, detail: &h.Detail, boottime: boottime,
		procs: make(map[int]*process), files: newFiles(h.Proc),
	}
}

func boottime() time.Duration {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) != nil {
		return 0
	}
	return time.Duration(now.Nano())
}

// tasks opens the task iterator.
func tasks(h *sampler.Host) (source, error) {
	probe, err := sampler.Probe[*tick.Probe](h, "tick")
	if err != nil {
		return nil, err
	}
	if !probe.Features().Threads {
		return nil, sampler.NotSupported("use Linux 5.8 or later with BTF", "no task iterator")
	}
	return iterator{probe}, nil
}

func (r *reader) withoutProbe(err error) {
	r.gaps = append(r.gaps, observe.Gap{
		Source: name, Cure: sampler.Cure(err),
		Reason: "without eBPF, threads are read only for processes that use 5 % of a core; run-queue time of other processes with several threads, and swap and disk I/O of all processes, are not known",
	})
}

// Read implements sampler.Reader.
func (r *reader) Read(s *observe.Snapshot) error {
	r.begin()
	if err := r.source.scan(r); err != nil {
		return fmt.Errorf("read processes: %w", err)
	}
	s.Gaps = append(s.Gaps, r.gaps...)
	if r.refused > 0 {
		s.Gap(name, fmt.Sprintf("the limit of %d processes was reached: %d processes are not observed", maxProcesses, r.refused), "")
	}
	r.choose()
	for _, p := range r.procs {
		switch {
		case p.alive != r.round:
			r.end(s, p)
		case p.left:
			r.leave(s, p)
		default:
			r.write(s, p)
		}
	}
	return nil
}

func (r *reader) begin() {
	before := r.now
	r.now = r.boottime()
	r.round++
	r.refused = 0
	r.seconds = 0
	if step := r.now - before; r.round > 1 && step >= shortest {
		r.seconds = step.Seconds()
	}
}

// Close implements sampler.Reader.
func (r *reader) Close() error {
	r.source.close()
	for _, p := range r.procs {
		p.tree.close(&r.files)
	}
	return nil
}
