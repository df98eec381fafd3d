// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"cmp"
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// A ThreadPool is the pool of threads of libuv in a process that answers requests.
type ThreadPool struct {
	Process observe.ID
	// Threads is the size of the pool. Active is the mean number of threads that work, and
	// Waiting that of the pieces of work that wait for one.
	Threads, Active, Waiting float64
	// Lookups is the mean number of threads that resolve a name. WaitingLookups and
	// WaitingFiles are the mean numbers of names and of calls of fs that wait.
	Lookups, WaitingLookups, WaitingFiles float64
	// Most is the highest number of pieces of work at one reading.
	Most float64
	// Share is the share of the readings at which work waited.
	Share float64
	// In are the calls that the threads of the process were blocked in while work waited,
	// most threads first. Seconds is their mean number. Files are those on files, added up.
	In, Files []BlockedBy
	// Requests is the mean number of requests in flight in the process, and Answered the
	// answers per second. Oldest is the highest age of a request.
	Requests, Answered, Oldest float64
}

// ThreadPools returns the pools for which work waited at some reading.
func (p *Pass) ThreadPools() []*ThreadPool {
	var all []*ThreadPool
	for process := range p.Entities(catalog.PoolThreads) {
		if t := p.threadPool(process); t.Waiting > 0 {
			all = append(all, t)
		}
	}
	return all
}

func (p *Pass) threadPool(process observe.ID) *ThreadPool {
	t := &ThreadPool{Process: process}
	_, t.Threads, _ = p.Range(catalog.PoolThreads, process)
	active, waiting := p.Series(catalog.PoolActive, process), p.Series(catalog.PoolWaiting, process)
	t.Active, t.Waiting = mean(active), mean(waiting)
	t.Lookups = mean(p.Series(catalog.PoolLookups, process))
	t.WaitingLookups = mean(p.Series(catalog.PoolWaitingLookups, process))
	t.WaitingFiles = mean(p.Series(catalog.PoolWaitingFiles, process))
	for i, n := range waiting {
		if n > 0 {
			t.Share += 1 / float64(len(waiting))
		}
		if i < len(active) {
			t.Most = max(t.Most, n+active[i])
		}
	}
	t.In = p.threadsIn(catalog.PoolThreadsIn, process, p.IncreaseOr0(catalog.PoolReadings, process))
	for _, in := range t.In {
		if in.Kind == catalog.TargetFile {
			t.Files = append(t.Files, in)
		}
	}
	t.Files = mergeCalls(t.Files)
	t.Requests, t.Answered = p.requests(process)
	_, t.Oldest, _ = p.Range(catalog.RequestOldest, process)
	return t
}

// threadsIn returns the calls that the threads of a process were in, most threads first.
// Seconds is their mean number.
func (p *Pass) threadsIn(m *observe.Metric, process observe.ID, readings float64) []BlockedBy {
	var in []BlockedBy
	if readings == 0 {
		return nil
	}
	for _, c := range p.Peers(m, process) {
		in = append(in, BlockedBy{Syscall: p.Attr(c.ID, catalog.AttrCall), Kind: p.Attr(c.ID, catalog.AttrTarget), On: c.ID, Seconds: c.Value / readings})
	}
	slices.SortStableFunc(in, func(a, b BlockedBy) int { return cmp.Compare(b.Seconds, a.Seconds) })
	return in
}

// requests returns the mean number of requests in flight in a process, in the second half
// of the window, and the answers per second: the requests of before the start are not known
// until they are answered.
func (p *Pass) requests(process observe.ID) (active, answered float64) {
	active = p.lateMean(catalog.RequestActive, process)
	if h, ok := p.Hist(catalog.RequestDuration, process); ok && p.Seconds > 0 {
		n, _ := h.Total()
		answered = n / p.Seconds
	}
	return active, answered
}

// lateMean returns the mean of the second half of the readings.
func (p *Pass) lateMean(m *observe.Metric, id observe.ID) float64 {
	readings := p.Series(m, id)
	return mean(readings[len(readings)/2:])
}

func mean(readings []float64) float64 {
	sum := 0.0
	for _, n := range readings {
		sum += n / float64(len(readings))
	}
	return sum
}

const (
	// fullPoolShare is the share of the readings at which work must wait. Work that arrives
	// together waits for a moment in any pool.
	fullPoolShare = 0.5
	// delayedShare is the share of the requests in flight that must wait for a pool or a
	// lock: long polls wait by design while other work fills a pool.
	delayedShare = 0.2
)

// Exhausted reports whether work waits for the pool most of the time, enough of it to delay
// the requests in flight.
func (t *ThreadPool) Exhausted() bool {
	return t.Share >= fullPoolShare && t.Waiting >= delayedShare*t.Requests
}

// Delayed returns the mean number of requests that wait for the pool: not more than are in
// flight, because others can use it too.
func (t *ThreadPool) Delayed() float64 { return min(t.Waiting, t.Requests) }

// Wait returns for how long a request waits for the pool, in seconds, once for each piece of
// its work.
func (t *ThreadPool) Wait() float64 { return little(t.Delayed(), t.Answered, t.Oldest) }

// little returns for how long each of those that wait does so, by Little's law. If they are
// not answered as fast as they come, that is too long: none was seen to wait for longer than
// oldest.
func little(waiting, answered, oldest float64) float64 {
	if answered == 0 {
		return oldest
	}
	return min(oldest, waiting/answered)
}
