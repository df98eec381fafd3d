// SPDX-License-Identifier: Apache-2.0

package capacity

import "math"

// A Queue is work that arrives and the time that a worker takes for one item.
type Queue struct {
	// Arrivals per second, and the Service time of one item in seconds.
	Arrivals, Service float64
	// Variability is half of the sum of the squared coefficients of variation of the
	// times between arrivals and of the service times: 1 for M/M/c, 0.5 for M/D/c.
	Variability float64
}

// Load returns the number of workers that are busy on average (Little's law).
func (q Queue) Load() float64 { return q.Arrivals * q.Service }

// Waits returns the probability that an item waits for one of c workers, by Erlang's
// second formula (Erlang 1917). It is 1 if they cannot keep up.
func (q Queue) Waits(c int) float64 {
	a := q.Load()
	if float64(c) <= a {
		return 1
	}
	blocked := 1.0 // Erlang's first formula for 0 workers, then for one more each time
	for k := 1; k <= c; k++ {
		blocked = a * blocked / (float64(k) + a*blocked)
	}
	use := a / float64(c)
	return blocked / (1 - use*(1-blocked))
}

// Wait returns the p-quantile of the time that an item waits for one of c workers, in
// seconds: exponential above the probability that it waits, scaled by the variability
// (Allen and Cunneen). It is infinite if they cannot keep up.
func (q Queue) Wait(c int, p float64) float64 {
	free := float64(c)/q.Service - q.Arrivals
	if q.Service <= 0 {
		return 0
	}
	if free <= 0 {
		return math.Inf(1)
	}
	waits := q.Waits(c)
	if waits <= 1-p {
		return 0
	}
	return q.Variability * math.Log(waits/(1-p)) / free
}

// mostWorkers limits the search for a number of workers.
const mostWorkers = 100_000

// Workers returns the smallest number of workers of which at most the share use is busy
// on average, and with which the p-quantile of the wait is at most wait. It is at least 1.
func (q Queue) Workers(use, wait, p float64) int {
	c := int(min(mostWorkers, max(1, math.Ceil(q.Load()/use-1e-9))))
	for c < mostWorkers && q.Wait(c, p) > wait {
		c++
	}
	return c
}

// WorkersToDrain returns the smallest number of workers that also empty a backlog within
// a time, with at most the share use of them busy on average.
func (q Queue) WorkersToDrain(backlog, within, use float64) int {
	drain := Queue{Arrivals: q.Arrivals + backlog/within, Service: q.Service}
	return int(min(mostWorkers, max(1, math.Ceil(drain.Load()/use-1e-9))))
}

// Drain returns how long c workers need to empty a backlog while more arrives, in
// seconds. It is infinite if they cannot keep up.
func (q Queue) Drain(backlog float64, c int) float64 {
	free := float64(c)/q.Service - q.Arrivals
	switch {
	case backlog <= 0:
		return 0
	case free <= 0:
		return math.Inf(1)
	}
	return backlog / free
}

// Elasticity returns by how many percent the throughput grows with a percent more
// workers: 1 if they work independently, 0 if something that they share is full.
func Elasticity(workers, more, throughput, then float64) (e float64, ok bool) {
	if workers <= 0 || throughput <= 0 || then <= 0 || more <= workers {
		return 0, false
	}
	return math.Log(then/throughput) / math.Log(more/workers), true
}
