// SPDX-License-Identifier: Apache-2.0

package tick

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"

	"github.com/headroom-project/headroom/bpf/support"
)

// checkKernel reports missing requirements of all programs with a clear error,
// before the verifier rejects the programs.
func checkKernel(types *btf.Cache) error {
	spec, err := support.Kernel(types)
	if err != nil {
		return err
	}
	for _, need := range []struct{ typ, field, config string }{
		{"sched_info", "last_queued", "CONFIG_SCHED_INFO=y"},
		{"sched_entity", "cfs_rq", "CONFIG_FAIR_GROUP_SCHED=y"},
	} {
		if !hasField(spec, need.typ, need.field) {
			return &support.Unsupported{Reason: "the kernel has no " + need.typ + "." + need.field, Cure: "use one built with " + need.config}
		}
	}
	return nil
}

func hasField(spec *btf.Spec, typ, field string) bool {
	var s *btf.Struct
	if err := spec.TypeByName(typ, &s); err != nil {
		return false
	}
	for _, m := range s.Members {
		if m.Name == field {
			return true
		}
	}
	return false
}

// mappedRead is the kernel's tracepoint for reading a page of a mapped file. Linux
// 6.1 does not have it.
const mappedRead = "mm_filemap_fault"

func hasTracepoint(types *btf.Cache, name string) bool {
	spec, err := types.Kernel()
	if err != nil {
		return false
	}
	var f *btf.Typedef
	return spec.TypeByName("btf_trace_"+name, &f) == nil
}

func (p *Probe) missing(what, why, cure string) {
	p.features.Missing = append(p.features.Missing, Missing{what, why, cure})
}

// checkThrottle checks whether the kernel distinguishes throttled time from
// queued time. Without CFS_BANDWIDTH there are no throttles: the time is then 0.
func (p *Probe) checkThrottle(types *btf.Cache) error {
	spec, err := types.Kernel()
	if err != nil {
		return err
	}
	if !hasField(spec, "cfs_rq", "runtime_enabled") {
		p.features.Throttled = true
		return nil
	}
	for _, clock := range []string{"throttled_clock_self_time", "throttled_clock_pelt_time", "throttled_clock_task_time"} {
		if hasField(spec, "cfs_rq", clock) {
			p.features.Throttled = true
			return nil
		}
	}
	p.missing("throttled time of loops", "this kernel's cfs_rq has no clock of its throttling that headroom knows",
		"none; it is counted as run queue")
	return nil
}

// waits are the system calls that an event loop waits in, as in wait.bpf.h.
// Those that an architecture or a kernel lacks are skipped.
var waits = []string{"epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6"}

// chooseEnter opens the tracepoints of the waits, unless the mode or the host does
// not allow it.
func (p *Probe) chooseEnter(mode EnterMode) ([]support.Tracepoint, error) {
	if mode == EnterRaw {
		return nil, nil
	}
	events, err := support.OpenSyscalls("enter", waits)
	if err == nil {
		p.features.SyscallTracepoints = true
		return events, nil
	}
	if mode == EnterTracepoint {
		return nil, err
	}
	p.missing("every system call is hooked, which costs a little more than the tracepoints of the wait system calls", err.Reason, err.Cure)
	return nil, nil
}

// load loads the collection. If its iterators fail, it loads the collection without them.
func (p *Probe) load(opts Options, types *btf.Cache) error {
	err := p.loadPrograms(opts, types, true)
	switch {
	case err == nil:
		p.features.Threads, p.features.Scan = true, true
	case support.Refused(err) != nil:
		return support.Refused(err)
	default:
		first := err
		if err = p.loadPrograms(opts, types, false); err != nil {
			return support.Failed("the kernel refuses the programs", err)
		}
		p.missing("task iterator", support.ShortError(first), "needs Linux 5.8 with BTF; threads are read from /proc instead, and a loop is seen from its second wait on")
	}
	p.features.Blame = true
	return p.checkThrottle(types)
}

func (p *Probe) loadPrograms(opts Options, types *btf.Cache, iterators bool) error {
	spec, err := loadTick()
	if err != nil {
		return fmt.Errorf("parsing programs: %w", err)
	}
	if p.features.SyscallTracepoints {
		delete(spec.Programs, tickProgOnSysEnter)
	} else {
		delete(spec.Programs, tickProgOnWaitTracepoint)
	}
	for _, name := range stackPrograms {
		delete(spec.Programs, name)
	}
	for _, name := range stackMaps {
		delete(spec.Maps, name)
	}
	if !hasTracepoint(types, mappedRead) {
		delete(spec.Programs, tickProgOnMappedRead)
	}
	if !iterators {
		delete(spec.Programs, tickProgScan)
		delete(spec.Programs, tickProgThreads)
	}
	if err := setDuration(spec, tickVarLongTickNs, opts.LongTick, DefaultLongTick); err != nil {
		return err
	}
	if err := setDuration(spec, tickVarStallNs, opts.StallThreshold, DefaultStallThreshold); err != nil {
		return err
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{Cache: types})
	if err != nil {
		return err
	}
	p.take(coll)
	return nil
}

func setDuration(spec *ebpf.CollectionSpec, name string, d, byDefault time.Duration) error {
	if d == 0 {
		d = byDefault
	}
	if err := spec.Variables[name].Set(uint64(d)); err != nil {
		return fmt.Errorf("setting %s: %w", name, err)
	}
	return nil
}

// take moves the loaded objects into p.objs. Programs that were not loaded stay nil.
func (p *Probe) take(c *ebpf.Collection) {
	o := &p.objs
	o.OnSwitch, o.OnExit, o.OnExec = c.Programs[tickProgOnSwitch], c.Programs[tickProgOnExit], c.Programs[tickProgOnExec]
	o.OnMappedRead = c.Programs[tickProgOnMappedRead]
	o.OnSysEnter, o.OnWaitTracepoint = c.Programs[tickProgOnSysEnter], c.Programs[tickProgOnWaitTracepoint]
	o.Scan, o.Threads = c.Programs[tickProgScan], c.Programs[tickProgThreads]
	o.Loops, o.FreeLoops = c.Maps[tickMapLoops], c.Maps[tickMapFreeLoops]
	o.Stalls, o.Owners = c.Maps[tickMapStalls], c.Maps[tickMapOwners]
	o.Runqueues, o.Blame = c.Maps[tickMapRunqueues], c.Maps[tickMapBlame]
	o.Slices, o.Throttles = c.Maps[tickMapSlices], c.Maps[tickMapThrottles]
	p.bss = c.Maps[bss]
	o.LoopsEnd, o.Lost = c.Variables[tickVarLoopsEnd], c.Variables[tickVarLost]
}

// attach attaches the programs for exit, exec and switches first, so that the end and
// the sleeps of every added loop are seen. Then it scans, and attaches those for the
// waits last, so that no loop is added twice. It takes ownership of events.
func (p *Probe) attach(events *[]support.Tracepoint) error {
	if err := p.fillFree(); err != nil {
		return err
	}
	if err := errors.Join(p.attachTracing(p.objs.OnExit), p.attachTracing(p.objs.OnExec), p.attachTracing(p.objs.OnSwitch)); err != nil {
		return err
	}
	if err := p.attachIterators(); err != nil {
		return err
	}
	if err := p.attachEnter(events); err != nil {
		return err
	}
	p.attachMapped()
	r, err := ringbuf.NewReader(p.objs.Stalls)
	if err != nil {
		return fmt.Errorf("opening the ring of stalls: %w", err)
	}
	r.SetDeadline(time.Unix(1, 0)) // In the past, so that reading never blocks.
	p.stalls = r
	return nil
}

func (p *Probe) attachTracing(prog *ebpf.Program) error {
	l, err := link.AttachTracing(link.TracingOptions{Program: prog})
	if err != nil {
		return support.Failed(fmt.Sprintf("attaching %s", prog), err)
	}
	p.links = append(p.links, l)
	return nil
}

// attachMapped attaches the program that records which mapped file a page fault
// reads. Without it, the file of a fault is unknown.
func (p *Probe) attachMapped() {
	p.features.MappedFiles = p.objs.OnMappedRead != nil && p.attachTracing(p.objs.OnMappedRead) == nil
}

func (p *Probe) attachEnter(events *[]support.Tracepoint) error {
	if p.objs.OnSysEnter != nil {
		return p.attachTracing(p.objs.OnSysEnter)
	}
	for _, e := range *events {
		if err := e.Run(p.objs.OnWaitTracepoint); err != nil {
			return support.Failed("attaching to the wait system calls", err)
		}
	}
	for _, e := range *events {
		p.links = append(p.links, e)
	}
	*events = nil
	return nil
}

func (p *Probe) attachIterators() error {
	if p.objs.Scan == nil {
		return nil
	}
	scan, err := link.AttachIter(link.IterOptions{Program: p.objs.Scan})
	if err != nil {
		return fmt.Errorf("attaching the scan: %w", err)
	}
	defer scan.Close()
	if err := drain(scan); err != nil {
		return fmt.Errorf("scanning for loops: %w", err)
	}
	p.threads, err = link.AttachIter(link.IterOptions{Program: p.objs.Threads})
	if err != nil {
		return fmt.Errorf("attaching the iterator of threads: %w", err)
	}
	return nil
}

// drain runs an iterator that has no output.
func drain(it *link.Iter) error {
	r, err := it.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(io.Discard, r)
	return err
}
