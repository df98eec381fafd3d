// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// seats are a limited number of places that clients hold. When all are taken, a new
// client gets a place of the address that holds most of them, so that one address
// cannot keep others out. Of an address's places, the one without progress for the
// longest time is taken.
type seats struct {
	total, each int
	grace       time.Duration // for this long after its last progress a place is not given to the same address

	mu     sync.Mutex
	taken  int
	byAddr map[netip.Prefix][]*seat
}

// A seat is one taken place.
type seat struct {
	all   *seats
	addr  netip.Prefix
	cut   func()       // ends the holder; called at most once, without locks
	moved atomic.Int64 // time of the last progress
	gone  bool         // guarded by all.mu
}

func newSeats(total, each int, grace time.Duration) *seats {
	return &seats{total: total, each: each, grace: grace, byAddr: make(map[netip.Prefix][]*seat)}
}

func (s *seats) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken
}

// take returns a place for an address, or nil. evicted reports whether the place
// was taken from another client, which is cut.
func (s *seats) take(addr netip.Prefix, cut func()) (own *seat, evicted bool) {
	own, victim := s.seat(addr, cut)
	if victim != nil {
		victim.cut()
	}
	return own, victim != nil
}

func (s *seats) seat(addr netip.Prefix, cut func()) (own, victim *seat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case len(s.byAddr[addr]) >= s.each:
		if victim = quietest(s.byAddr[addr]); !s.resting(victim) {
			return nil, nil
		}
	case s.taken >= s.total:
		if victim = s.victim(addr); victim == nil {
			return nil, nil
		}
	}
	if victim != nil {
		s.remove(victim)
	}
	own = &seat{all: s, addr: addr, cut: cut}
	own.progress()
	s.byAddr[addr] = append(s.byAddr[addr], own)
	s.taken++
	return own, victim
}

// victim returns the place to give to an address when all are taken: a place of the
// address with the most places if that makes the distribution fairer, otherwise a
// place of any client without progress.
func (s *seats) victim(addr netip.Prefix) *seat {
	var most []*seat
	var quiet *seat
	for _, held := range s.byAddr {
		if len(held) > len(most) {
			most = held
		}
		if q := quietest(held); quiet == nil || q.moved.Load() < quiet.moved.Load() {
			quiet = q
		}
	}
	if len(most) > len(s.byAddr[addr])+1 {
		return quietest(most)
	}
	if s.resting(quiet) {
		return quiet
	}
	return nil
}

func (s *seats) resting(x *seat) bool {
	return x != nil && time.Since(time.Unix(0, x.moved.Load())) >= s.grace
}

func quietest(held []*seat) *seat {
	var quiet *seat
	for _, x := range held {
		if quiet == nil || x.moved.Load() < quiet.moved.Load() {
			quiet = x
		}
	}
	return quiet
}

// cutOne ends the client without progress for the longest time, and reports whether
// there was one.
func (s *seats) cutOne() bool {
	s.mu.Lock()
	var quiet *seat
	for _, held := range s.byAddr {
		if q := quietest(held); quiet == nil || q.moved.Load() < quiet.moved.Load() {
			quiet = q
		}
	}
	if quiet != nil {
		s.remove(quiet)
	}
	s.mu.Unlock()
	if quiet == nil {
		return false
	}
	quiet.cut()
	return true
}

// remove removes a place. The caller holds mu.
func (s *seats) remove(x *seat) {
	if x.gone {
		return
	}
	x.gone = true
	s.taken--
	held := s.byAddr[x.addr]
	for i := range held {
		if held[i] == x {
			held[i] = held[len(held)-1]
			held[len(held)-1] = nil
			held = held[:len(held)-1]
			break
		}
	}
	if len(held) == 0 {
		delete(s.byAddr, x.addr)
		return
	}
	s.byAddr[x.addr] = held
}

// progress records that the holder made progress.
func (x *seat) progress() { x.moved.Store(time.Now().UnixNano()) }

// leave gives the place back.
func (x *seat) leave() {
	x.all.mu.Lock()
	defer x.all.mu.Unlock()
	x.all.remove(x)
}

// network returns the prefix that counts as one address: a whole IPv6 /64 is given
// to one host.
func network(remote string) netip.Prefix {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{} // clients without an address share one prefix
	}
	addr := ap.Addr().Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // cannot fail: the prefix length is valid
	return p
}
