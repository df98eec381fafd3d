// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"cmp"
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// A Lock is the one for which most threads of a process that answers requests wait.
type Lock struct {
	Process observe.ID
	// Kind is catalog.LockInterpreter or catalog.LockMutex.
	Kind string
	// Readings is how often the threads were read while requests waited. Share is the share
	// of these at which a thread waited for the lock, and Waiters the mean number of them.
	Readings, Share, Waiters float64
	// Held are the calls in which the thread that holds it was, most often first. Seconds
	// is the share of the readings at which a thread waited.
	Held []BlockedBy
	// Holder is the thread that held it most often, and HolderShare its share of these
	// readings; 0 if no holder is known.
	Holder      observe.ID
	HolderShare float64
	// Requests is the mean number of requests in flight in the process, and Answered the
	// answers per second. Oldest is the highest age of a request.
	Requests, Answered, Oldest float64
}

// Locks returns the most contended lock of each process whose threads wait for one.
func (p *Pass) Locks() []*Lock {
	var all []*Lock
	for process := range p.Entities(catalog.LockReadings) {
		if l := p.lockOf(process); l != nil {
			all = append(all, l)
		}
	}
	return all
}

func (p *Pass) lockOf(process observe.ID) *Lock {
	l := &Lock{Process: process, Readings: p.IncreaseOr0(catalog.LockReadings, process)}
	peers := p.Peers(catalog.LockWaiters, process)
	if len(peers) == 0 || l.Readings == 0 {
		return nil
	}
	most := slices.MaxFunc(peers, func(a, b observe.Peer) int { return cmp.Compare(a.Value, b.Value) })
	l.Kind, l.Waiters = p.Attr(most.ID, catalog.AttrLock), most.Value/l.Readings
	waited := 0.0
	for _, w := range p.Peers(catalog.LockWaited, process) {
		if w.ID == most.ID {
			waited = w.Value
		}
	}
	l.Share = waited / l.Readings
	l.held(p, waited)
	l.Requests, l.Answered = p.requests(process)
	_, l.Oldest, _ = p.Range(catalog.RequestOldest, process)
	return l
}

// held finds what holds a mutex.
func (l *Lock) held(p *Pass, waited float64) {
	if l.Kind != catalog.LockMutex {
		return
	}
	l.Held = mergeCalls(p.threadsIn(catalog.LockHeldIn, l.Process, waited))
	threads := make(map[string]float64)
	for _, h := range p.threadsIn(catalog.LockHeldIn, l.Process, waited) {
		tid := p.Attr(h.On, catalog.AttrTID)
		if threads[tid] += h.Seconds; threads[tid] > l.HolderShare {
			l.Holder, l.HolderShare = h.On, threads[tid]
		}
	}
}

const (
	// contendedShare is the share of the readings at which a thread must wait. A lock that
	// is free half of the time is seldom waited for.
	contendedShare = 0.5
	// fewReadings is how many readings are too few to tell.
	fewReadings = 3
)

// Contended reports whether threads wait for the lock most of the time, enough of them to
// delay the requests in flight.
func (l *Lock) Contended() bool {
	return l.Readings >= fewReadings && l.Share >= contendedShare && l.Waiters >= delayedShare*l.Requests
}

// Delayed returns the mean number of requests that wait for the lock, over the whole
// window: each waiting thread serves one at most.
func (l *Lock) Delayed(seconds float64) float64 {
	return min(l.Requests, l.Waiters*min(1, l.Readings/max(1, seconds-1)))
}

// Wait returns for how long a request waits for the lock, in seconds.
func (l *Lock) Wait(seconds float64) float64 { return little(l.Delayed(seconds), l.Answered, l.Oldest) }
