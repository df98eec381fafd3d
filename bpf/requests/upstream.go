// SPDX-License-Identifier: Apache-2.0

package requests

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"

	"github.com/headroom-project/headroom/bpf/support"
)

// A Protocol is that of an upstream.
type Protocol uint32

// The protocols.
const (
	Postgres = Protocol(requestsProtocolPROTOCOL_POSTGRES)
	Redis    = Protocol(requestsProtocolPROTOCOL_REDIS)
)

// Upstream is the calls of one process to one address. Counters and durations are
// cumulative since its first call. A connection is in use from the first byte that is
// sent until the answer was read and, for PostgreSQL, the transaction has ended.
type Upstream struct {
	Tgid     uint32
	Start    uint64 // of the process, ns since boot
	Address  netip.AddrPort
	Protocol Protocol
	// Confirmed is set once an answer was of the protocol too.
	Confirmed bool

	// Answered is a distribution over Bounds of the time from the first byte of a call
	// to the arrival of the first byte of its answer: its count and sum in each bucket.
	Answered struct{ Count, Sum []uint64 }
	// Busy is the time with at least one call without an answer. Used is the time for
	// which connections were in use, added up, and Idle that part of it in which a
	// transaction was open and nothing was sent. Late is the time from the arrival of
	// answers until the process read them, added up.
	Busy, Used, Idle, Late time.Duration
	// Uses are the uses of a connection that have ended.
	Uses uint64
	// Unreadable are the receptions whose bytes are not known: Used and Uses then miss
	// some.
	Unreadable uint64
	// Active are the calls without an answer at the moment, and Oldest the age of the
	// oldest one. Connections are open, and InUse of them are in use.
	Active, Connections, InUse uint32
	Oldest                     time.Duration
	// RTT is the least round trip of the network in the last five minutes; 0 if it is not
	// known. The smoothed one counts the 40 ms for which a server that computes can delay
	// its acknowledgement.
	RTT time.Duration
	// Statements are those of PostgreSQL that were answered most often since the last
	// reading, the most frequent first.
	Statements []Statement
	// Number identifies the upstream while it is kept, and Reads are the calls that read.
	Number uint32
	Reads  Reads
}

// An Opaque is connections of a process to the usual port of a database, of which nothing
// is known: they are encrypted, or the process uses io_uring.
type Opaque struct {
	Tgid    uint32
	Address netip.AddrPort
}

// upstreams is the part of a Probe that ReadUpstreams uses.
type upstreams struct {
	receive  link.Link // nil while no process calls a known upstream
	found    map[requestsUpstreamKey]connections
	opaque   map[Opaque]int
	highest  map[requestsUpstreamKey]sums
	indexes  []uint32
	clients  []requestsClient
	keys     []requestsUpstreamKey
	slots    []uint32
	entry    requestsUpstream
	upstream Upstream

	statements statements
	reads      *ringbuf.Reader
	record     ringbuf.Record
}

// connections is what a pass over connections found of one upstream.
type connections struct {
	open, inUse        uint32
	used, idle, oldest uint64 // ns, until now
}

// sums are the sums that include what has not ended. They never decrease.
type sums struct{ busy, used, idle uint64 }

func (u *upstreams) init(most, mostStatements int) {
	u.found, u.opaque, u.highest = make(map[requestsUpstreamKey]connections), make(map[Opaque]int), make(map[requestsUpstreamKey]sums)
	u.indexes, u.clients = make([]uint32, batch), make([]requestsClient, batch)
	u.keys, u.slots = make([]requestsUpstreamKey, most), make([]uint32, most)
	u.statements.init(mostStatements)
}

// ReadUpstreams yields the upstreams of each process. The Upstream is reused, and its
// slices are valid during the call only. An entry for which yield returns false is
// dropped.
func (p *Probe) ReadUpstreams(yield func(*Upstream) (keep bool)) error {
	u := &p.upstreams
	now, err := p.countConnections()
	if err != nil {
		return err
	}
	var cursor ebpf.MapBatchCursor
	n, err := p.objs.Maps[requestsMapUpstreamSlots].BatchLookup(&cursor, u.keys, u.slots, nil)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("reading the list of upstreams: %w", err)
	}
	if err := p.receive(n > 0); err != nil {
		return err
	}
	if err := u.statements.read(p.objs.Maps[requestsMapStatements], n > 0); err != nil {
		return err
	}
	for i, slot := range u.slots[:n] {
		if err := p.objs.Maps[requestsMapUpstreams].Lookup(slot, &u.entry); err != nil {
			return fmt.Errorf("reading an upstream: %w", err)
		}
		if u.entry.Key != u.keys[i] {
			continue // being added
		}
		u.upstream.Statements, u.upstream.Number = u.statements.of(slot), slot
		if !yield(u.convert(now)) {
			p.dropUpstream(u.keys[i], slot)
		}
	}
	return nil
}

// Opaque returns the connections of which nothing is known, as the last ReadUpstreams
// found them.
func (p *Probe) Opaque() map[Opaque]int { return p.upstreams.opaque }

// receive attaches the program that sees answers being read while there are upstreams.
func (p *Probe) receive(wanted bool) error {
	u := &p.upstreams
	attached := u.receive != nil
	if wanted == attached {
		return nil
	}
	receiving := p.objs.Variables[requestsVarReceiving]
	if !wanted {
		err := errors.Join(receiving.Set(uint32(0)), u.receive.Close())
		u.receive = nil
		return err
	}
	l, err := link.AttachTracing(link.TracingOptions{Program: p.objs.Programs[requestsProgOnReceive]})
	if err != nil {
		return support.Failed("attaching "+requestsProgOnReceive, err)
	}
	u.receive = l
	return receiving.Set(uint32(1))
}

// countConnections makes a pass over the connections of clients, and returns its time.
func (p *Probe) countConnections() (now uint64, err error) {
	u := &p.upstreams
	clear(u.found)
	clear(u.opaque)
	var end uint32
	if err := p.objs.Variables[requestsVarClientsEnd].Get(&end); err != nil {
		return 0, fmt.Errorf("reading the number of connections: %w", err)
	}
	if now, err = support.Monotonic(); err != nil {
		return 0, err
	}
	var cursor ebpf.MapBatchCursor
	for left := min(int(end), int(p.objs.Maps[requestsMapClients].MaxEntries())); left > 0; {
		n, err := p.objs.Maps[requestsMapClients].BatchLookup(&cursor, u.indexes, u.clients, nil)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return 0, fmt.Errorf("reading connections: %w", err)
		}
		if n == 0 {
			break
		}
		for i := range u.clients[:min(n, left)] {
			u.count(&u.clients[i], now)
		}
		left -= n
	}
	return now, nil
}

func (u *upstreams) count(c *requestsClient, now uint64) {
	if c.Key.Port == 0 || c.Key.Tgid == 0 {
		return
	}
	if c.Flags&uint8(requestsClientFlagsCLIENT_OPAQUE) != 0 {
		u.opaque[Opaque{c.Key.Tgid, addressOf(&c.Key)}]++
		return
	}
	n := u.found[c.Key]
	n.open++
	n.oldest = max(n.oldest, age(c.Since, now))
	if c.Flags&uint8(requestsClientFlagsCLIENT_IN_USE) != 0 {
		n.inUse++
		n.used += age(c.Used, now)
		n.idle += age(c.Idle, now)
	}
	u.found[c.Key] = n
}

// age returns the time since a moment; 0 if there is none.
func age(since, now uint64) uint64 {
	if since == 0 || since > now {
		return 0
	}
	return now - since
}

// addressOf returns the address of a key, whose fields are in network order.
func addressOf(k *requestsUpstreamKey) netip.AddrPort {
	var b [16]byte
	for i, w := range k.Addr {
		binary.NativeEndian.PutUint32(b[4*i:], w)
	}
	return netip.AddrPortFrom(netip.AddrFrom16(b).Unmap(), uint16(k.Port))
}

// convert returns u.entry as an Upstream.
func (u *upstreams) convert(now uint64) *Upstream {
	e, s, n := &u.entry, &u.upstream, u.found[u.entry.Key]
	s.Tgid, s.Start, s.Address, s.Protocol, s.Confirmed = e.Key.Tgid, e.StartBoottime, addressOf(&e.Key), Protocol(e.Protocol), e.Confirmed != 0
	if s.Answered.Count == nil {
		s.Answered.Count, s.Answered.Sum = make([]uint64, buckets), make([]uint64, buckets)
	}
	for i, d := range e.Durations {
		s.Answered.Count[i], s.Answered.Sum[i] = d.Count, d.Sum
	}
	h := u.highest[e.Key]
	h.used, h.idle = max(h.used, e.Used+n.used), max(h.idle, e.Idle+n.idle)
	busy := e.Busy
	if e.Active > 0 {
		busy += age(e.BusySince, now)
	}
	h.busy = max(h.busy, busy)
	u.highest[e.Key] = h
	s.Busy, s.Used, s.Idle, s.Late = time.Duration(h.busy), time.Duration(h.used), time.Duration(h.idle), time.Duration(e.Late)
	s.Uses, s.Unreadable, s.Active, s.Connections, s.InUse = e.Uses, e.Unreadable, e.Active, n.open, n.inUse
	s.Oldest, s.RTT = time.Duration(n.oldest), time.Duration(e.Rtt)*time.Microsecond
	s.Reads = Reads{Calls: e.Reads, Time: time.Duration(e.ReadNs), Writes: e.Writes, Unclear: e.Unclear, Lost: e.Dropped}
	return s
}

// dropUpstream removes an entry. It is emptied before it can be used again.
func (p *Probe) dropUpstream(key requestsUpstreamKey, slot uint32) {
	u := &p.upstreams
	u.entry = requestsUpstream{}
	delete(u.highest, key)
	u.statements.drop(p.objs.Maps[requestsMapStatements], slot)
	_ = p.Sample(slot, 0)
	_ = p.objs.Maps[requestsMapUpstreamSlots].Delete(key)
	if p.objs.Maps[requestsMapUpstreams].Update(slot, &u.entry, ebpf.UpdateAny) == nil {
		_ = p.objs.Maps[requestsMapFreeUpstreams].Update(nil, slot, ebpf.UpdateAny)
	}
}
