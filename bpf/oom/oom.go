// SPDX-License-Identifier: Apache-2.0

// Package oom reports the processes that the OOM killer kills, the memory that
// they used, and the limit that was reached. It is the first stage of the flow;
// oom.bpf.c describes how it works. It reads no log, keeps no history, and does
// not touch the processes that it watches.
//
// A Probe is for one goroutine.
package oom

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"

	"github.com/headroom-project/headroom/bpf/support"
)

// Probe is the loaded and attached collection.
type Probe struct {
	objs    *ebpf.Collection
	links   []link.Link
	victims *ringbuf.Reader
	record  ringbuf.Record
}

// Open loads and attaches the programs. types is the kernel's BTF if other
// collections use it too, or nil.
func Open(types *btf.Cache) (*Probe, error) {
	if types == nil {
		types = btf.NewCache()
	}
	mark, err := markProgram(types)
	if err != nil {
		return nil, err
	}
	// Linux 5.10 charges maps to RLIMIT_MEMLOCK. If it cannot be raised, loading reports
	// the error.
	_ = rlimit.RemoveMemlock()
	p := &Probe{}
	if err := p.load(types, mark); err != nil {
		return nil, err
	}
	if err := p.attach(mark); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// markProgram returns the program that fits this kernel's mark_victim: its
// argument is the task, or its pid (until 72ba14deb40a in Linux 6.9, which
// distributions backported). The BTF type of the tracepoint shows which.
func markProgram(types *btf.Cache) (string, error) {
	spec, err := support.Kernel(types)
	if err != nil {
		return "", err
	}
	argument, err := firstArgument(spec, "btf_trace_mark_victim")
	if err != nil {
		return "", &support.Unsupported{Reason: "the kernel has no tracepoint oom:mark_victim: " + err.Error(), Err: err}
	}
	if _, isTask := argument.(*btf.Pointer); isTask {
		return oomProgOnMark, nil
	}
	return oomProgOnMarkPid, nil
}

// firstArgument returns the type of a tracepoint's first argument after its context.
func firstArgument(spec *btf.Spec, name string) (btf.Type, error) {
	var def *btf.Typedef
	if err := spec.TypeByName(name, &def); err != nil {
		return nil, err
	}
	pointer, ok := def.Type.(*btf.Pointer)
	if !ok {
		return nil, fmt.Errorf("%s is a %T", name, def.Type)
	}
	proto, ok := pointer.Target.(*btf.FuncProto)
	if !ok || len(proto.Params) < 2 {
		return nil, fmt.Errorf("%s points to %v", name, pointer.Target)
	}
	return btf.UnderlyingType(proto.Params[1].Type), nil
}

func (p *Probe) load(types *btf.Cache, mark string) error {
	spec, err := loadOom()
	if err != nil {
		return fmt.Errorf("parsing programs: %w", err)
	}
	for _, name := range []string{oomProgOnMark, oomProgOnMarkPid} {
		if name != mark {
			delete(spec.Programs, name)
		}
	}
	p.objs, err = ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{Cache: types})
	if err != nil {
		return support.Failed("the kernel refuses the programs", err)
	}
	return nil
}

// attach attaches the signal first, so that every mark has its signal.
func (p *Probe) attach(mark string) error {
	for _, name := range []string{oomProgOnSignal, mark} {
		l, err := link.AttachTracing(link.TracingOptions{Program: p.objs.Programs[name]})
		if err != nil {
			return support.Failed("attaching "+name, err)
		}
		p.links = append(p.links, l)
	}
	r, err := ringbuf.NewReader(p.objs.Maps[oomMapVictims])
	if err != nil {
		return fmt.Errorf("opening the ring of victims: %w", err)
	}
	r.SetDeadline(time.Unix(1, 0)) // In the past: reading never blocks.
	p.victims = r
	return nil
}

// Lost returns the number of victims since Open that were dropped because the ring
// buffer was full.
func (p *Probe) Lost() uint64 {
	var l oomLosses
	if err := p.objs.Variables[oomVarLost].Get(&l); err != nil {
		return 0
	}
	return l.Victims
}

// Losses returns the same counter by name.
func (p *Probe) Losses() map[string]uint64 { return map[string]uint64{"victims": p.Lost()} }

// Usage returns the cost of each program.
func (p *Probe) Usage() []support.Usage { return support.UsageOf(p.objs.Programs) }

// Close detaches and unloads everything.
func (p *Probe) Close() error {
	var errs []error
	for _, l := range p.links {
		errs = append(errs, l.Close())
	}
	if p.victims != nil {
		errs = append(errs, p.victims.Close())
	}
	if p.objs != nil {
		p.objs.Close()
	}
	return errors.Join(errs...)
}
