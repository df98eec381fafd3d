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
	// burst is the number of seconds' worth of events allowed at once.
	burst = 5
	// maxRates is the number of addresses with a rate of their own; the rest share
	// one.
	maxRates = 4096
)

// rates limits how often something happens, for one address and for all.
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

// allow reports whether an event of an address may happen now.
func (r *rates) allow(addr netip.Prefix) bool { return r.of(addr).Allow() && r.all.Allow() }

// turn waits until an event of an address may happen. It reports false if ctx ends
// or the time limit passes first.
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

// forget drops the addresses whose burst is full again.
func (r *rates) forget() {
	for addr, l := range r.byAddr {
		if l.Tokens() >= float64(l.Burst()) {
			delete(r.byAddr, addr)
		}
	}
}
