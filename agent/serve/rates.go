// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"net/netip"
	"sync"

	"golang.org/x/time/rate"
)

const (
	// burst is how many seconds' worth are allowed at once.
	burst = 5
	// maxRates is how many addresses have a rate of their own; the rest shares one.
	maxRates = 1024
)

// rates bound how often something is done for one address, and for all.
type rates struct {
	each rate.Limit
	all  *rate.Limiter

	mu     sync.Mutex
	byAddr map[netip.Prefix]*rate.Limiter
}

func newRates(each, all float64) *rates {
	return &rates{each: rate.Limit(each), all: limiter(rate.Limit(all)), byAddr: make(map[netip.Prefix]*rate.Limiter)}
}

func limiter(each rate.Limit) *rate.Limiter { return rate.NewLimiter(each, max(1, int(burst*each))) }

// allow reports whether it may be done now for an address.
func (r *rates) allow(addr netip.Prefix) bool { return r.of(addr).Allow() && r.all.Allow() }

func (r *rates) of(addr netip.Prefix) *rate.Limiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.byAddr[addr]
	if l != nil {
		return l
	}
	if len(r.byAddr) >= maxRates {
		r.forget()
	}
	if len(r.byAddr) >= maxRates {
		addr = netip.Prefix{}
		if l = r.byAddr[addr]; l != nil {
			return l
		}
	}
	l = limiter(r.each)
	r.byAddr[addr] = l
	return l
}

// forget drops the addresses that have their whole burst again.
func (r *rates) forget() {
	for addr, l := range r.byAddr {
		if l.Tokens() >= float64(l.Burst()) {
			delete(r.byAddr, addr)
		}
	}
}
