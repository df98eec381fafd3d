// SPDX-License-Identifier: Apache-2.0

package requests

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/cilium/ebpf"
)

// Server is the requests that one process answered on one port. Counters are
// cumulative since its first answer; durations are ns.
type Server struct {
	Tgid  uint32
	Start uint64 // of the process, ns since boot
	Port  uint16 // of the listener

	// Answered is a distribution over Bounds of the time from the first byte of a
	// request to the first byte of its answer: its count and sum in each bucket.
	Answered struct{ Count, Sum []uint64 }
	// Unanswered are the requests whose connection was closed without an answer.
	Unanswered uint64
	// Active are the requests in flight at the moment. Unread are those of them that the
	// process has not read, if they are older than a quarter of a second. Oldest and
	// OldestUnread are the ages of the oldest ones; 0 if there is none. Earlier are those
	// that arrived before Open, if the process had not read them: their age is that of
	// the probe, and their answers are not counted.
	Active, Unread, Earlier uint32
	Oldest, OldestUnread    time.Duration
	// LeftOut are open connections whose protocol is not one of requests and answers,
	// or encrypted.
	LeftOut uint32
}

// buckets is the number of buckets of a distribution, as declared in C.
const buckets = len(requestsServer{}.Durations)

// Bounds returns the upper bounds of all buckets except the last, in ns: 2^(i/4)
// seconds from 2^-16 s to 2^6 s.
func Bounds() []uint64 {
	b := make([]uint64, buckets-1)
	for i := range b {
		b[i] = uint64(math.Ceil(1e9 * math.Exp2(float64(i)/4-16)))
	}
	return b
}

// Read yields every process that has answered or been asked. The Server is reused, and
// its slices are valid during the call only. An entry for which yield returns false is
// dropped: its process has ended.
func (p *Probe) Read(yield func(*Server) (keep bool)) error {
	if err := p.readConnections(); err != nil {
		return err
	}
	var cursor ebpf.MapBatchCursor
	n, err := p.objs.Maps[requestsMapSlots].BatchLookup(&cursor, p.keys, p.slots, nil)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("reading the list of servers: %w", err)
	}
	for i, slot := range p.slots[:n] {
		if err := p.objs.Maps[requestsMapServers].Lookup(slot, &p.entry); err != nil {
			return fmt.Errorf("reading the requests of a server: %w", err)
		}
		if p.entry.Key != p.keys[i] {
			continue // being added
		}
		if !yield(p.convert()) {
			p.drop(p.keys[i], slot)
		}
	}
	return nil
}

// convert returns p.entry as a Server.
func (p *Probe) convert() *Server {
	e, s := &p.entry, &p.server
	s.Tgid, s.Start, s.Port = e.Key.Tgid, e.StartBoottime, uint16(e.Key.Port)
	if s.Answered.Count == nil {
		s.Answered.Count, s.Answered.Sum = make([]uint64, buckets), make([]uint64, buckets)
	}
	for i, d := range e.Durations {
		s.Answered.Count[i], s.Answered.Sum[i] = d.Count, d.Sum
	}
	s.Unanswered = e.Unanswered
	w := p.waiting[e.Key]
	s.Active, s.Unread, s.Earlier, s.LeftOut = w.active, w.unread, w.earlier, w.leftOut
	s.Oldest, s.OldestUnread = time.Duration(w.oldest), time.Duration(w.oldestUnread)
	return s
}

// drop removes the entry of a process that has ended. It is emptied before it can be
// used again.
func (p *Probe) drop(key requestsServerKey, slot uint32) {
	p.entry = requestsServer{}
	_ = p.objs.Maps[requestsMapSlots].Delete(key)
	if p.objs.Maps[requestsMapServers].Update(slot, &p.entry, ebpf.UpdateAny) == nil {
		_ = p.objs.Maps[requestsMapFreeSlots].Update(nil, slot, ebpf.UpdateAny)
	}
}
