// SPDX-License-Identifier: Apache-2.0

// Package tick reads from the kernel how long the ticks of every event loop on
// the host take and how that time is spent, the run-queue delays of each process,
// and which processes ran in the meantime. It is the first stage of the flow:
// samplers turn its counters into samples. Everything it yields is cumulative. It
// never computes a rate, keeps no history and does not touch the processes that
// it watches.
//
// The programs are one collection, because loops and run queue share
// sched_switch. loop.bpf.h and runqueue.bpf.h describe how they work.
//
// A Probe is for one goroutine.
package tick

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"

	"github.com/headroom-project/headroom/bpf/support"
)

// EnterMode is how the probe sees a thread enter a wait.
type EnterMode int

const (
	// EnterAuto uses the cheapest mode that is allowed.
	EnterAuto EnterMode = iota
	// EnterTracepoint hooks only the wait system calls. It needs tracefs and
	// perf_event_open.
	EnterTracepoint
	// EnterRaw hooks every system call and leaves at once unless it is a wait.
	EnterRaw
)

// Options are the thresholds of the probe.
type Options struct {
	LongTick       time.Duration // Ticks longer than this count as long, with their causes. 0: 20 ms.
	StallThreshold time.Duration // Ticks longer than this are reported individually. 0: 50 ms.
	Enter          EnterMode
	Types          *btf.Cache // The kernel's BTF, if another collection has parsed it already.
}

// DefaultLongTick is the mean queueing time at which DAGOR (SoCC 2018) calls a
// service overloaded; DefaultStallThreshold is the lag that deserves a warning.
const (
	DefaultLongTick       = 20 * time.Millisecond
	DefaultStallThreshold = 50 * time.Millisecond
)

// Features are what a probe can observe on this host.
type Features struct {
	Throttled          bool // Throttled time is distinguished from RunQueue. If not, Throttled is unknown, not 0.
	Threads            bool // ReadThreads works.
	Scan               bool // The first tick of loops that slept when the probe started is observed.
	Blame              bool // ReadBlame works.
	MappedFiles        bool // The target of a page fault is observed.
	SyscallTracepoints bool // Only the wait system calls are hooked (EnterTracepoint).
	Missing            []Missing
}

// Missing is a feature that the probe lacks on this host.
type Missing struct {
	What, Why, Cure string
}

// Lost counts the events dropped because of a limit, since the probe was opened.
type Lost struct {
	Loops     uint64 // Waits of threads that could not be added.
	Stalls    uint64 // Stalls dropped because the ring buffer was full.
	RunQueues uint64 // Delays of processes that could not be added.
	Blame     uint64 // Slices whose culprit is reported as CulpritOther or not at all.
}

// Probe is the loaded and attached collection.
type Probe struct {
	objs     tickObjects
	features Features
	links    []io.Closer
	threads  *link.Iter
	stalls   *ringbuf.Reader
	stacks   stacks
	bss      *ebpf.Map // the variables of the programs

	record      ringbuf.Record
	loop        Loop
	loops       loopTable
	loopBytes   []byte
	queueKeys   []uint32
	queueValues []tickRunqueue
	pairKeys    []tickPair
	pairValues  []uint64
	pairs       map[tickPair]pairAge
	reads       uint64
	threadBuf   []byte
}

// Open loads and attaches the programs. It takes a few tenths of a second.
func Open(opts Options) (*Probe, error) {
	types := opts.Types
	if types == nil {
		types = btf.NewCache() // Tens of MB, not needed after the programs are loaded.
	}
	if err := checkKernel(types); err != nil {
		return nil, err
	}
	// Linux 5.10 charges maps to RLIMIT_MEMLOCK. If it cannot be raised, loading reports
	// the error.
	_ = rlimit.RemoveMemlock()
	p := &Probe{}
	events, err := p.chooseEnter(opts.Enter)
	if err != nil {
		return nil, err
	}
	defer func() { _ = support.CloseAll(events) }() // tracepoints that attach did not take over
	if err := p.load(opts, types); err != nil {
		return nil, err
	}
	if err := p.attach(&events); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	p.loadStacks(opts, types)
	p.allocate()
	return p, nil
}

// Features returns what p can observe.
func (p *Probe) Features() Features { return p.features }

// Lost returns the losses since Open.
func (p *Probe) Lost() Lost {
	var l tickLosses
	if err := p.objs.Lost.Get(&l); err != nil {
		return Lost{}
	}
	return Lost{Loops: l.Loops, Stalls: l.Stalls, RunQueues: l.Runqueues, Blame: l.Blame}
}

// Losses returns the same counters by name.
func (p *Probe) Losses() map[string]uint64 {
	l := p.Lost()
	return map[string]uint64{"loops": l.Loops, "stalls": l.Stalls, "run queues": l.RunQueues, "culprits": l.Blame, "stacks": p.LostStacks()}
}

// Usage returns the cost of each program.
func (p *Probe) Usage() []support.Usage {
	o := &p.objs
	all := map[string]*ebpf.Program{
		tickProgOnSwitch: o.OnSwitch, tickProgOnExit: o.OnExit, tickProgOnExec: o.OnExec, tickProgOnSysEnter: o.OnSysEnter,
		tickProgOnMappedRead:     o.OnMappedRead,
		tickProgOnWaitTracepoint: o.OnWaitTracepoint, tickProgScan: o.Scan, tickProgThreads: o.Threads,
	}
	if p.stacks.on.Load() {
		maps.Copy(all, p.stacks.objs.Programs)
	}
	return support.UsageOf(all)
}

// Close detaches and unloads everything.
func (p *Probe) Close() error {
	var errs []error
	for _, l := range p.links {
		errs = append(errs, l.Close())
	}
	if p.threads != nil {
		errs = append(errs, p.threads.Close())
	}
	if p.stalls != nil {
		errs = append(errs, p.stalls.Close())
	}
	return errors.Join(append(errs, p.stacks.close(), p.loops.close(), p.bss.Close(), p.objs.Close())...)
}

// batch is how many map entries are copied per system call.
const batch = 128

func (p *Probe) allocate() {
	p.loopBytes = make([]byte, unsafe.Sizeof(tickLoop{}))
	p.loops = loopTable{fd: p.objs.Loops.FD(), entry: len(p.loopBytes), max: int(p.objs.Loops.MaxEntries())}
	p.queueKeys, p.queueValues = make([]uint32, batch), make([]tickRunqueue, batch)
	p.pairKeys, p.pairValues = make([]tickPair, 4*batch), make([]uint64, 4*batch)
	p.pairs = make(map[tickPair]pairAge)
}

// eachBatch calls do for each batch of keys and values, with its number of entries.
func eachBatch(m *ebpf.Map, keys, values any, do func(n int) error) error {
	var cursor ebpf.MapBatchCursor
	for {
		n, err := m.BatchLookup(&cursor, keys, values, nil)
		end := errors.Is(err, ebpf.ErrKeyNotExist)
		if err != nil && !end {
			return fmt.Errorf("reading map %s: %w", m, err)
		}
		if err := do(n); err != nil {
			return err
		}
		if end {
			return nil
		}
	}
}
