// SPDX-License-Identifier: Apache-2.0

// Package rediskeys reads from the kernel which keys the clients of Redis access, as
// hashes with a secret that is drawn at each start: what a cache of another size would
// do depends on how often the same key returns, not on what it is. It is the first stage
// of the flow; rediskeys.bpf.c describes how it works. It keeps no history, and does not
// touch the processes that it watches.
//
// The program is attached only while a process is watched.
//
// A Probe is for one goroutine.
package rediskeys

import (
	"errors"
	"fmt"
	"math"
	"os"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"

	"github.com/headroom-project/headroom/bpf/support"
)

// Probe is the loaded collection.
type Probe struct {
	objs   *ebpf.Collection
	link   link.Link // nil while nothing is watched
	events *ringbuf.Reader
	record ringbuf.Record
	slots  [maxServers]int // the process ID in each slot, 0 if it is free
}

// maxServers is MAX_SERVERS in C. User space keeps 0.6 MB for each.
const maxServers = 16

// Server counts what a process has received since Watch.
type Server struct {
	// Reads and Writes are of keys. Writes include deletions.
	Reads, Writes uint64
	// Uncounted are commands whose keys are not known, and receptions that are no
	// commands, such as encrypted ones.
	Uncounted uint64
	// Lost are the accesses to keys in the sample that were dropped because user space
	// was too slow.
	Lost uint64
}

// An Access is one to a key in the sample, or the deletion of all keys.
type Access struct {
	Tgid int
	Hash uint64
	Kind Kind
}

// A Kind is what a command does with a key.
type Kind uint32

// The kinds.
const (
	Read   = Kind(rediskeysAccessACCESS_READ)
	Write  = Kind(rediskeysAccessACCESS_WRITE)
	Delete = Kind(rediskeysAccessACCESS_DELETE)
	Flush  = Kind(rediskeysAccessACCESS_FLUSH)
)

// Open loads the program. types is the kernel's BTF if other collections use it too, or
// nil.
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
	return p, nil
}

const newerKernel = "use Linux 6.3 or newer"

// checkKernel looks for the tracepoint, which is new in 6e6eda44b939, Linux 6.3.
func checkKernel(types *btf.Cache) error {
	spec, err := support.Kernel(types)
	if err != nil {
		return err
	}
	var def *btf.Typedef
	if err := spec.TypeByName("btf_trace_sock_recv_length", &def); err != nil {
		return &support.Unsupported{Reason: "the kernel has no tracepoint sock:sock_recv_length", Cure: newerKernel, Err: err}
	}
	return nil
}

func (p *Probe) load(types *btf.Cache) error {
	spec, err := loadRediskeys()
	if err != nil {
		return fmt.Errorf("parsing programs: %w", err)
	}
	if err := spec.Variables[rediskeysVarSecret].Set(support.Secret()); err != nil {
		return fmt.Errorf("setting the secret: %w", err)
	}
	p.objs, err = ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{Cache: types})
	if err != nil {
		return support.Failed("the kernel refuses the program", err)
	}
	for name, c := range commands() {
		if err := p.objs.Maps[rediskeysMapCommands].Put(name, c); err != nil {
			return fmt.Errorf("adding a command: %w", err)
		}
	}
	p.events, err = ringbuf.NewReader(p.objs.Maps[rediskeysMapEvents])
	if err != nil {
		return fmt.Errorf("opening the ring of accesses: %w", err)
	}
	p.events.SetDeadline(time.Unix(1, 0)) // In the past: reading never blocks.
	return nil
}

// Watch begins to watch a process. ok is false if too many are watched.
func (p *Probe) Watch(tgid int) (ok bool, err error) {
	for slot, other := range p.slots {
		if other != 0 {
			continue
		}
		i, fresh := uint32(slot), rediskeysServer{}
		p.slots[slot] = tgid
		return true, errors.Join(p.objs.Maps[rediskeysMapServers].Put(i, &fresh), p.Sample(tgid, math.MaxUint64),
			p.objs.Maps[rediskeysMapWatched].Put(uint32(tgid), i), p.attach())
	}
	return false, nil
}

func (p *Probe) attach() error {
	if p.link != nil {
		return nil
	}
	l, err := link.AttachTracing(link.TracingOptions{Program: p.objs.Programs[rediskeysProgOnReceive]})
	if err != nil {
		return support.Failed("attaching the program", err)
	}
	p.link = l
	return nil
}

// Unwatch ends Watch.
func (p *Probe) Unwatch(tgid int) error {
	slot, ok := p.slot(tgid)
	if !ok {
		return nil
	}
	p.slots[slot] = 0
	err := p.objs.Maps[rediskeysMapWatched].Delete(uint32(tgid))
	if p.slots == [maxServers]int{} && p.link != nil {
		err = errors.Join(err, p.link.Close())
		p.link = nil
	}
	return err
}

func (p *Probe) slot(tgid int) (uint32, bool) {
	for slot, other := range p.slots {
		if other == tgid {
			return uint32(slot), true
		}
	}
	return 0, false
}

// Sample sets the hash below which keys of a process are in the sample. It is all keys
// at first.
func (p *Probe) Sample(tgid int, below uint64) error {
	slot, ok := p.slot(tgid)
	if !ok {
		return nil
	}
	return p.objs.Maps[rediskeysMapThresholds].Put(slot, below)
}

// Server returns the counters of a process that is watched.
func (p *Probe) Server(tgid int) (Server, error) {
	slot, ok := p.slot(tgid)
	if !ok {
		return Server{}, fmt.Errorf("process %d is not watched", tgid)
	}
	var s rediskeysServer
	if err := p.objs.Maps[rediskeysMapServers].Lookup(slot, &s); err != nil {
		return Server{}, fmt.Errorf("reading the counters of a server: %w", err)
	}
	return Server{Reads: s.Reads, Writes: s.Writes, Uncounted: s.Uncounted, Lost: s.Lost}, nil
}

// Read yields the accesses since the last call, in their order. It does not wait for
// more, and returns after what the ring can hold even if more arrive meanwhile.
func (p *Probe) Read(yield func(Access)) error {
	left := p.events.BufferSize()
	for left > 0 && p.events.AvailableBytes() > 0 {
		err := p.events.ReadInto(&p.record)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading accesses: %w", err)
		}
		if uintptr(len(p.record.RawSample)) < unsafe.Sizeof(rediskeysEvent{}) {
			return fmt.Errorf("reading accesses: a record of %d bytes", len(p.record.RawSample))
		}
		left -= len(p.record.RawSample)
		e := (*rediskeysEvent)(unsafe.Pointer(&p.record.RawSample[0]))
		if tgid := p.slots[e.Slot%maxServers]; tgid != 0 {
			yield(Access{Tgid: tgid, Hash: e.Hash, Kind: Kind(e.Access)})
		}
	}
	return nil
}

// Usage returns the cost of each program.
func (p *Probe) Usage() []support.Usage { return support.UsageOf(p.objs.Programs) }

// Close detaches and unloads everything.
func (p *Probe) Close() error {
	var errs []error
	if p.link != nil {
		errs = append(errs, p.link.Close())
	}
	if p.events != nil {
		errs = append(errs, p.events.Close())
	}
	if p.objs != nil {
		p.objs.Close()
	}
	return errors.Join(errs...)
}
