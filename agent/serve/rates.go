// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"math"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// burst is how many seconds' worth are allowed at once.
	burst = 5
	// maxRates is how many addresses have a rate of their own; the rest shares one.
	maxRates = 4096
)

// rates bound how often something is done for one address, and for all.
type rates struct {
	each rate.Limit
	all  *rate.Limiter

	mu     sync.Mutex
	byAddr map[netip.Prefix]*rate.Limiter
	forgot time.Time
}

func newRates(each, all float64) *rates {
	return &rates{each: rate.Limit(each), all: limiter(rate.Limit(all)), byAddr: make(map[netip.Prefix]*rate.Limiter)}
}

func limiter(each rate.Limit) *rate.Limiter {
	if math.IsInf(float64(each), 1) {
		return rate.NewLimiter(rate.Inf, 1)
	}
	return rate.NewLimiter(each, max(1, int(burst*each)))
}

// allow reports whether it may be done now for an address.
func (r *rates) allow(addr netip.Prefix) bool { return r.of(addr).Allow() && r.all.Allow() }

// turn waits until it may be done for an address, and reports whether that is
// before ctx ends and within a time.
func (r *rates) turn(ctx context.Context, addr netip.Prefix, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return r.of(addr).Wait(ctx) == nil
}

func (r *rates) of(addr netip.Prefix) *rate.Limiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.byAddr[addr]
	if l != nil {
		return l
	}
	if len(r.byAddr) >= maxRates && time.Since(r.forgot) > time.Second {
		r.forget()
		r.forgot = time.Now()
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
