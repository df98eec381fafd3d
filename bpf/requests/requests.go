// SPDX-License-Identifier: Apache-2.0

// Package requests reads from the kernel the requests that every process of the host
// answers at its sockets: how many, how long until the first byte of the answer, and
// which are in flight. It is the first stage of the flow: agent/sampler/requests turns
// its numbers into samples. requests.bpf.c describes how it works. It reads no
// request, keeps no history, and does not touch the processes that it watches.
//
// It also reads the other ends: the calls of processes to PostgreSQL and Redis, and which
// calls repeat a statement, from hashes with a secret. Of calls that a cache could answer it
// reads a sample, in which each asks for the same as others with its hash.
//
// A Probe is for two goroutines: one calls Read, the other ReadUpstreams.
package requests

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"

	"github.com/headroom-project/headroom/bpf/support"
)

// Lost counts what was dropped because a limit was reached, since Open.
type Lost struct {
	Connections uint64 // Connections that could not be added.
	Servers     uint64 // Requests of processes beyond the limit.
	Ports       uint64 // Ports whose connections of before Open are not observed.
	Skipped     uint64 // Arrivals during the handling of another one on the same CPU.
	Clients     uint64 // Connections to upstreams that could not be added.
	Upstreams   uint64 // Calls to upstreams beyond the limit.
}

// Probe is the loaded and attached collection.
type Probe struct {
	objs    *ebpf.Collection
	links   []io.Closer
	inspect *link.Iter

	passes    uint32        // calls of inspect
	inspected time.Time     // the last of them
	took      time.Duration // by it
	passedAt  uint64        // when it began, ns of CLOCK_MONOTONIC

	waiting map[requestsServerKey]waiting
	indexes []uint32
	conns   []requestsConn
	keys    []requestsServerKey
	slots   []uint32
	entry   requestsServer
	server  Server

	upstreams upstreams
}

// Open loads and attaches the programs. types is the kernel's BTF if other
// collections use it too, or nil.
func Open(types *btf.Cache) (*Probe, error) {
	if types == nil {
		types = btf.NewCache()
	}
	if err := checkKernel(types); err != nil {
		return nil, err
	}
	_ = rlimit.RemoveMemlock() // If it fails, loading reports the error.
	p := &Probe{}
	if err := p.load(types); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	if err := p.attach(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

const newerKernel = "use Linux 6.3 or newer"

// checkKernel looks for the tracepoints: sk_data_ready is new in 40e0b0908142,
// sock_send_length and sock_recv_length in 6e6eda44b939, both Linux 6.3.
func checkKernel(types *btf.Cache) error {
	spec, err := support.Kernel(types)
	if err != nil {
		return err
	}
	for _, name := range []string{"sk_data_ready", "sock_send_length", "sock_recv_length", "inet_sock_set_state"} {
		var def *btf.Typedef
		if err := spec.TypeByName("btf_trace_"+name, &def); err != nil {
			return &support.Unsupported{Reason: "the kernel has no tracepoint sock:" + name, Cure: newerKernel, Err: err}
		}
	}
	return nil
}

func (p *Probe) load(types *btf.Cache) error {
	spec, err := loadRequests()
	if err != nil {
		return fmt.Errorf("parsing programs: %w", err)
	}
	if err := spec.Variables[requestsVarSecret].Set(support.Secret()); err != nil {
		return fmt.Errorf("setting the secret: %w", err)
	}
	p.objs, err = ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{Cache: types})
	if err != nil {
		return support.Failed("the kernel refuses the programs", err)
	}
	n := p.objs.Maps[requestsMapServers].MaxEntries()
	p.keys, p.slots = make([]requestsServerKey, n), make([]uint32, n)
	p.indexes, p.conns = make([]uint32, batch), make([]requestsConn, batch)
	p.waiting = make(map[requestsServerKey]waiting)
	p.upstreams.init(int(p.objs.Maps[requestsMapUpstreamSlots].MaxEntries()), int(p.objs.Maps[requestsMapStatements].MaxEntries()))
	return p.upstreams.openReads(p)
}

// batch is how many connections are copied per system call.
const batch = 2048

// attach attaches the program for new connections before it looks for the others, so
// that none is missed, and those for their bytes last.
func (p *Probe) attach() error {
	if err := p.attachTracing(requestsProgOnState); err != nil {
		return err
	}
	for _, name := range []string{requestsProgListeners, requestsProgEstablished} {
		if err := p.runOnce(name); err != nil {
			return err
		}
	}
	it, err := link.AttachIter(link.IterOptions{Program: p.objs.Programs[requestsProgInspect]})
	if err != nil {
		return support.Failed("attaching the iterator of open files", err)
	}
	p.inspect, p.links = it, append(p.links, it)
	return errors.Join(p.attachTracing(requestsProgOnSend), p.attachTracing(requestsProgOnData))
}

func (p *Probe) attachTracing(name string) error {
	l, err := link.AttachTracing(link.TracingOptions{Program: p.objs.Programs[name]})
	if err != nil {
		return support.Failed("attaching "+name, err)
	}
	p.links = append(p.links, l)
	return nil
}

func (p *Probe) runOnce(name string) error {
	it, err := link.AttachIter(link.IterOptions{Program: p.objs.Programs[name]})
	if err != nil {
		return support.Failed("attaching the iterator "+name, err)
	}
	defer it.Close() //nolint:errcheck // it has run
	return drain(it)
}

// drain runs an iterator that has no output.
func drain(it *link.Iter) error {
	r, err := it.Open()
	if err != nil {
		return fmt.Errorf("opening an iterator: %w", err)
	}
	defer r.Close() //nolint:errcheck // read only
	_, err = io.Copy(io.Discard, r)
	return err
}

// Lost returns the losses since Open.
func (p *Probe) Lost() Lost {
	var l requestsLosses
	if err := p.objs.Variables[requestsVarLost].Get(&l); err != nil {
		return Lost{}
	}
	lost := Lost{Connections: l.Connections, Servers: l.Servers, Ports: l.Ports, Clients: l.Clients, Upstreams: l.Upstreams}
	if s, err := p.objs.Programs[requestsProgOnData].Stats(); err == nil {
		lost.Skipped = s.RecursionMisses
	}
	return lost
}

// Losses returns the same counters by name.
func (p *Probe) Losses() map[string]uint64 {
	l := p.Lost()
	return map[string]uint64{"connections": l.Connections, "servers": l.Servers, "ports": l.Ports, "arrivals": l.Skipped, "clients": l.Clients, "upstreams": l.Upstreams}
}

// Usage returns the cost of each program.
func (p *Probe) Usage() []support.Usage { return support.UsageOf(p.objs.Programs) }

// Close detaches and unloads everything.
func (p *Probe) Close() error {
	var errs []error
	for _, l := range p.links {
		errs = append(errs, l.Close())
	}
	if p.upstreams.receive != nil {
		errs = append(errs, p.upstreams.receive.Close())
	}
	if p.upstreams.reads != nil {
		errs = append(errs, p.upstreams.reads.Close())
	}
	if p.objs != nil {
		p.objs.Close()
	}
	return errors.Join(errs...)
}
