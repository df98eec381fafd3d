// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// A ClientPool is the connections that one process holds to one PostgreSQL.
type ClientPool struct {
	ID, Process observe.ID
	// Size is the number of connections, Used the mean number of them in use.
	Size, Used float64
	// Steady is set if the number of connections did not change.
	Steady bool
	// Uses is the number of uses that have ended, and Hold the mean time of one, in
	// seconds. Idle is the share of the time in use in which a transaction was open and
	// nothing was sent.
	Uses, Hold, Idle float64
	// Active is the mean number of requests in flight in the process, in the second half
	// of the window. Answers is the number of answers, and Answered that per second.
	Active, Answers, Answered float64
}

// poolers are programs that hand out connections to PostgreSQL to the clients of others.
var poolers = []string{"pgbouncer", "pgcat", "odyssey", "pgpool", "haproxy", "envoy", "nginx"}

// FullLoop is the share of its time in ticks, or on the CPU, from which an event loop, or
// an interpreter, is itself why answers are read late, so that calls take longer.
const FullLoop = 0.7

// oneAtATime are the runtimes whose threads take turns.
var oneAtATime = []string{"python", "ruby"}

// BusyItself reports whether a process has too little CPU time left for the answers to its
// calls.
func (p *Pass) BusyItself(process observe.ID) bool {
	if use, _ := p.Rate(catalog.ProcessCPU, process); use >= FullLoop && slices.Contains(oneAtATime, p.Attr(process, catalog.AttrRuntime)) {
		return true
	}
	for _, l := range p.Loops() {
		if l.Process == process && l.Busy >= FullLoop {
			return true
		}
	}
	return false
}

// CallsPostgres returns the process of a client, if it calls PostgreSQL for itself.
func (p *Pass) CallsPostgres(client observe.ID) (process observe.ID, ok bool) {
	process, ok = p.Index.Ancestor(client, observe.Process)
	return process, ok && p.Attr(client, catalog.AttrDatabase) == "postgresql" && !slices.Contains(poolers, p.Attr(process, catalog.AttrExecutable))
}

// ClientPools returns the pools of processes that also answer requests.
func (p *Pass) ClientPools() []*ClientPool {
	var all []*ClientPool
	for id := range p.Entities(catalog.ClientUsedTime) {
		process, ok := p.CallsPostgres(id)
		if !ok {
			continue
		}
		if c := p.clientPool(id, process); c.Size > 0 && c.Active > 0 {
			all = append(all, c)
		}
	}
	return all
}

func (p *Pass) clientPool(id, process observe.ID) *ClientPool {
	c := &ClientPool{ID: id, Process: process, Uses: p.IncreaseOr0(catalog.ClientUses, id)}
	least, most, _ := p.Range(catalog.ClientConnections, id)
	c.Size, c.Steady = most, least == most
	c.Used, _ = p.Rate(catalog.ClientUsedTime, id)
	if used := p.IncreaseOr0(catalog.ClientUsedTime, id); used > 0 {
		c.Idle = min(1, p.IncreaseOr0(catalog.ClientIdleTime, id)/used)
		c.Hold = used / max(1, c.Uses)
	}
	c.Active, c.Answered = p.requests(process)
	c.Answers = c.Answered * p.Seconds
	return c
}

// fullPool is the share of its time that each connection of an exhausted pool is in use.
// What is missing is the time between the end of one use and the first query of the next.
const fullPool = 0.9

// Exhausted reports whether the connections are in use all the time, by one request after
// the other, while more requests are in flight than connections. One connection is no
// pool. At least half of the requests must use one, or they wait for something else.
func (c *ClientPool) Exhausted() bool {
	return c.Steady && c.Size >= 2 && c.Used >= fullPool*c.Size && c.Uses >= c.Size && 2*c.Uses >= c.Answers && c.Waiting() > 0
}

// Waiting returns the mean number of requests that wait for a connection: those in flight
// beyond the connections in use.
func (c *ClientPool) Waiting() float64 { return max(0, c.Active-c.Used) }

// Wait returns for how long a request waits, in seconds, by Little's law.
func (c *ClientPool) Wait() float64 {
	if c.Answered == 0 {
		return 0
	}
	return c.Waiting() / c.Answered
}
