// SPDX-License-Identifier: Apache-2.0

package requests

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"

	"github.com/headroom-project/headroom/bpf/support"
)

// waiting is what a pass over connections found of one server.
type waiting struct {
	active, unread, leftOut uint32
	earlier                 uint32 // of active, those of before Open
	oldest, oldestUnread    uint64 // ns
}

const (
	// impatience is the age of a request that is worth a pass over all open files.
	impatience = 250 * time.Millisecond
	// share is the largest share of time that such passes may take, as its inverse.
	share = 100
)

// readConnections fills p.waiting.
func (p *Probe) readConnections() error {
	old, err := p.countWaiting()
	if err != nil || !old || time.Since(p.inspected) < share*p.took {
		return err
	}
	if err := p.lookAtFiles(); err != nil {
		return err
	}
	_, err = p.countWaiting()
	return err
}

// lookAtFiles finds the processes of connections, and which of them are still open.
func (p *Probe) lookAtFiles() error {
	p.passes++
	if err := p.objs.Variables[requestsVarPasses].Set(p.passes); err != nil {
		return fmt.Errorf("beginning a pass over open files: %w", err)
	}
	began := time.Now()
	if err := drain(p.inspect); err != nil {
		return fmt.Errorf("iterating over open files: %w", err)
	}
	p.inspected = time.Now()
	p.took = p.inspected.Sub(began)
	now, err := support.Monotonic()
	if err != nil {
		return err
	}
	p.passedAt = now - uint64(p.took)
	return nil
}

// countWaiting makes a pass over all connections. old reports whether a request is older
// than impatience.
func (p *Probe) countWaiting() (old bool, err error) {
	clear(p.waiting)
	var end uint32
	if err := p.objs.Variables[requestsVarConnsEnd].Get(&end); err != nil {
		return false, fmt.Errorf("reading the number of connections: %w", err)
	}
	now, err := support.Monotonic()
	if err != nil {
		return false, err
	}
	var cursor ebpf.MapBatchCursor
	for left := min(int(end), int(p.objs.Maps[requestsMapConns].MaxEntries())); left > 0; {
		n, err := p.objs.Maps[requestsMapConns].BatchLookup(&cursor, p.indexes, p.conns, nil)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return old, fmt.Errorf("reading connections: %w", err)
		}
		if n == 0 {
			break
		}
		for i := range p.conns[:min(n, left)] {
			if p.count(&p.conns[i], now) > uint64(impatience) {
				old = true
			}
		}
		left -= n
	}
	return old, nil
}

// notWaiting are the flags of connections whose client does not wait for an answer.
const notWaiting = uint8(requestsConnFlagsCONN_LEFT_OUT | requestsConnFlagsCONN_GOODBYE |
	requestsConnFlagsCONN_STREAM | requestsConnFlagsCONN_CLOSING)

// count adds a connection to p.waiting, and returns the age of its request in ns, 0 if
// none is in flight. An old request counts if the last pass over open files found its
// socket: a process that has closed it does not answer any more.
func (p *Probe) count(c *requestsConn, now uint64) (age uint64) {
	if c.Port == 0 {
		return 0
	}
	key := requestsServerKey{Tgid: c.Tgid, Port: uint32(c.Port)}
	w := p.waiting[key]
	switch {
	case c.Flags&uint8(requestsConnFlagsCONN_LEFT_OUT) != 0:
		w.leftOut++
	case c.Since == 0 || c.Since > now || c.Flags&notWaiting != 0:
		return 0
	default:
		if age = now - c.Since; age > uint64(impatience) && c.Inspected != p.passes {
			return age
		}
		w.active++
		w.oldest = max(w.oldest, age)
		if c.Flags&uint8(requestsConnFlagsCONN_EARLIER) != 0 {
			w.earlier++
		}
		if c.Unread != 0 && c.Inspected == p.passes && c.Since < p.passedAt { // what the pass found of an earlier request is not about this one
			w.unread++
			w.oldestUnread = max(w.oldestUnread, age)
		}
	}
	p.waiting[key] = w
	return age
}
