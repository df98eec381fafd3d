// SPDX-License-Identifier: Apache-2.0

// Package files reads from the kernel the open descriptors of every process on
// the host: descriptors by kind, TCP connections by state, connections that wait
// for the process, and the listening sockets with their queues. It is the first
// stage of the flow: agent/sampler/fd turns its numbers into samples.
//
// One pass of an iterator covers all processes in all network namespaces. It
// reads no link, enters no namespace, and does not touch the processes.
//
// A Probe is for one goroutine.
package files

import (
	"errors"
	"fmt"
	"io"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/bpf/support"
)

// Options configure a probe.
type Options struct {
	// Types is the kernel's BTF if another collection has parsed it already. If it
	// is nil, Open parses it again, which temporarily takes tens of MB.
	Types *btf.Cache
}

// Lost counts what the last pass dropped because a limit was reached.
type Lost struct {
	Listeners uint64 // Descriptors of listeners without a record.
	Ports     uint64 // Listeners whose connections are not distinguished from a client's.
	Refused   uint64 // Refused calls of processes beyond the limit, since Open.
}

// Probe is the loaded and attached collection.
type Probe struct {
	objs  filesObjects
	files *link.Iter
	buf   []byte
	round uint64
	ports map[filesPort]uint64 // the last pass with a listener on the port
	watch []support.Tracepoint
}

// passBuffer is the size of a read: the kernel's own buffer has eight pages
// (bpf_seq_read in kernel/bpf/bpf_iter.c).
const passBuffer = 32 << 10

// Open loads and attaches the program, and makes a first pass to learn which
// ports have a listener.
func Open(opts Options) (*Probe, error) {
	if err := support.HasBTF(); err != nil {
		return nil, err
	}
	// Linux 5.10 charges maps to RLIMIT_MEMLOCK. If it cannot be raised, loading reports
	// the error.
	_ = rlimit.RemoveMemlock()
	p := &Probe{buf: make([]byte, passBuffer), ports: make(map[filesPort]uint64)}
	if err := p.load(opts.Types); err != nil {
		return nil, err
	}
	if err := p.attach(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Probe) load(types *btf.Cache) error {
	if types == nil {
		types = btf.NewCache()
	}
	err := loadFilesObjects(&p.objs, &ebpf.CollectionOptions{Cache: types})
	if err != nil {
		return support.Failed("the kernel refuses the iterator of open files, which needs Linux 5.10 with BTF", err)
	}
	return nil
}

func (p *Probe) attach() error {
	it, err := link.AttachIter(link.IterOptions{Program: p.objs.Files})
	if err != nil {
		return support.Failed("attaching the iterator of open files", err)
	}
	p.files = it
	return p.Read(Visitor{})
}

// Close detaches and unloads everything.
func (p *Probe) Close() error {
	err := p.Unwatch()
	if p.files != nil {
		err = errors.Join(err, p.files.Close())
	}
	return errors.Join(err, p.objs.Close())
}

// Lost returns the losses of the last pass.
func (p *Probe) Lost() Lost {
	var l filesLosses
	if err := p.objs.Lost.Get(&l); err != nil {
		return Lost{}
	}
	var refused uint64
	if err := p.objs.RefusedLost.Get(&refused); err != nil {
		return Lost{}
	}
	return Lost{Listeners: l.Listeners, Ports: l.Ports, Refused: refused}
}

// Losses returns the losses since Open, by name.
func (p *Probe) Losses() map[string]uint64 {
	return map[string]uint64{"refused calls": p.Lost().Refused}
}

// Usage returns the cost of each program.
func (p *Probe) Usage() []support.Usage {
	return support.UsageOf(map[string]*ebpf.Program{filesProgFiles: p.objs.Files, filesProgOnRefused: p.objs.OnRefused})
}

const recordSize = int(unsafe.Sizeof(filesProcess{}))

// maxRetries limits how often a read without a record is repeated: the kernel
// returns EAGAIN after a million descriptors without a record.
const maxRetries = 100

// Read makes one pass. The records that it passes to v are valid during the call.
func (p *Probe) Read(v Visitor) error {
	if err := errors.Join(p.objs.Pass.Set(filesPass{}), p.objs.Lost.Set(filesLosses{})); err != nil {
		return fmt.Errorf("beginning a pass over open files: %w", err)
	}
	r, err := p.files.Open()
	if err != nil {
		return fmt.Errorf("iterating over open files: %w", err)
	}
	defer r.Close() //nolint:errcheck // read only
	p.round++
	if err := p.readAll(r, v); err != nil {
		return fmt.Errorf("iterating over open files: %w", err)
	}
	return p.forgetPorts()
}

// readAll reads to the end. The kernel returns whole records.
func (p *Probe) readAll(r io.Reader, v Visitor) error {
	for retries := 0; ; {
		n, err := r.Read(p.buf)
		p.records(p.buf[:n], v)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, unix.EAGAIN) && retries < maxRetries:
			retries++
		case err != nil:
			return err
		}
	}
}

// forgetPorts removes ports that have no listener any more.
func (p *Probe) forgetPorts() error {
	for port, seen := range p.ports {
		if seen == p.round {
			continue
		}
		delete(p.ports, port)
		if err := p.objs.Ports.Delete(&port); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("forgetting a port: %w", err)
		}
	}
	return nil
}
