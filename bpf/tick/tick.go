// SPDX-License-Identifier: Apache-2.0

// Package tick reads from the kernel how long the ticks of every event loop on
// the host take and where the time goes, which run-queue delays each process
// suffers, and who ran in the meantime. It stands at the very beginning of the
// flow: samplers turn its counters into samples. Everything it yields is
// cumulative. It never computes a rate, keeps no history and touches none of
// the processes that it watches.
//
// The programs are one collection, because loops and run queue share
// sched_switch. loop.bpf.h and runqueue.bpf.h say how they work.
//
// A Probe is for one goroutine.
package tick

import (
	"errors"
	"fmt"
	"io"
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
	// EnterAuto takes what costs least of what is allowed.
	EnterAuto EnterMode = iota
	// EnterTracepoint hooks the wait system calls alone. Needs tracefs and
	// perf_event_open.
	EnterTracepoint
	// EnterRaw hooks every system call and leaves at once unless it is a wait.
	EnterRaw
)

// Options are the thresholds of the probe.
type Options struct {
	BadTick        time.Duration // Ticks longer than this are counted as bad, with their causes. 0: 20 ms.
	StallThreshold time.Duration // Ticks longer than this are told one by one. 0: 50 ms.
	Enter          EnterMode
	Types          *btf.Cache // The kernel's BTF where another collection has parsed it.
}

// DefaultBadTick is the mean queueing time at which DAGOR (SoCC 2018) calls a
// service overloaded; DefaultStallThreshold is the lag that is worth a warning.
const (
	DefaultBadTick        = 20 * time.Millisecond
	DefaultStallThreshold = 50 * time.Millisecond
)

// Features says what a probe can see here.
type Features struct {
	Throttled          bool // Throttled is told from RunQueue. If not, Throttled is unknown, not 0.
	Threads            bool // ReadThreads works.
	Scan               bool // Loops that slept when the probe started are seen from their first tick.
	Blame              bool // ReadBlame works.
	SyscallTracepoints bool // The wait system calls alone are hooked (EnterTracepoint).
	Missing            []Missing
}

// Missing is something that the probe cannot do here.
type Missing struct {
	What, Why, Cure string
}

// Lost counts what found no room, since the probe was opened.
type Lost struct {
	Loops     uint64 // Waits of threads that could not be added.
	Stalls    uint64 // Stalls that found the ring full, because nobody read it.
	RunQueues uint64 // Delays of processes that could not be added.
	Blame     uint64 // Slices whose culprit is told as CulpritOther or not at all.
}

// Probe is the loaded and attached collection.
type Probe struct {
	objs     tickObjects
	features Features
	links    []io.Closer
	threads  *link.Iter
	stalls   *ringbuf.Reader

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

// Open loads and attaches the programs. It takes some tenths of a second.
func Open(opts Options) (*Probe, error) {
	types := opts.Types
	if types == nil {
		types = btf.NewCache() // Tens of MB that nothing needs once the programs are loaded.
	}
	if err := checkKernel(types); err != nil {
		return nil, err
	}
	// 5.10 charges maps to RLIMIT_MEMLOCK; if raising it is refused, loading says so.
	_ = rlimit.RemoveMemlock()
	p := &Probe{}
	events, err := p.chooseEnter(opts.Enter)
	if err != nil {
		return nil, err
	}
	defer func() { _ = support.CloseAll(events) }() // those that attach did not take
	if err := p.load(opts, types); err != nil {
		return nil, err
	}
	if err := p.attach(&events); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	p.allocate()
	return p, nil
}

// Features says what p can see.
func (p *Probe) Features() Features { return p.features }

// Lost says what was lost since Open.
func (p *Probe) Lost() Lost {
	var l tickLosses
	if err := p.objs.Lost.Get(&l); err != nil {
		return Lost{}
	}
	return Lost{Loops: l.Loops, Stalls: l.Stalls, RunQueues: l.Runqueues, Blame: l.Blame}
}

// Losses are the same by name.
func (p *Probe) Losses() map[string]uint64 {
	l := p.Lost()
	return map[string]uint64{"loops": l.Loops, "stalls": l.Stalls, "run queues": l.RunQueues, "culprits": l.Blame}
}

// Usage says what each program cost.
func (p *Probe) Usage() []support.Usage {
	o := &p.objs
	return support.UsageOf(map[string]*ebpf.Program{
		tickProgOnSwitch: o.OnSwitch, tickProgOnExit: o.OnExit, tickProgOnExec: o.OnExec, tickProgOnSysEnter: o.OnSysEnter,
		tickProgOnWaitTracepoint: o.OnWaitTracepoint, tickProgScan: o.Scan, tickProgThreads: o.Threads,
	})
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
	return errors.Join(append(errs, p.loops.close(), p.objs.Close())...)
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

// eachBatch calls do with the number of entries in each batch of keys and values.
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
