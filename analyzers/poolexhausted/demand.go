// SPDX-License-Identifier: Apache-2.0

package poolexhausted

import (
	"math"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// A demand is how many connections an exhausted pool needs, and how many can work.
type demand struct {
	*facts.ClientPool
	// needed is the number with which no request waits. least is what the arrivals need
	// if they would come at the same rate without the wait.
	needed, least float64
	// database is the CPU use of the PostgreSQL on this host, in cores; known is false if
	// it is not on this host. idle are the cores that it could use in addition.
	database, idle float64
	known          bool
}

func look(p *facts.Pass, c *facts.ClientPool) *demand {
	d := &demand{ClientPool: c, needed: math.Round(c.Active), least: c.Size + 1}
	if c.Answers > 0 {
		// Each request that arrives keeps connections for this long.
		perRequest := c.Used / c.Answered
		d.least = max(d.least, math.Ceil(p.IncreaseOr0(catalog.RequestArrivals, c.Process)/p.Seconds*perRequest))
	}
	d.least = min(d.least, d.needed)
	d.look(p)
	return d
}

// look finds the PostgreSQL at the other end, if it is on this host.
func (d *demand) look(p *facts.Pass) {
	database, ok := p.DatabaseOf(d.ID)
	if !ok {
		return
	}
	for _, process := range database.Processes {
		use, _ := p.Rate(catalog.ProcessCPU, process)
		d.database += use
	}
	d.idle, d.known = p.UsableIdle(database.Server)
}

const (
	// mostlyIdle is the share of the time in use from which idle transactions, and not
	// queries, keep the connections.
	mostlyIdle = 0.5
	// leftCPU is how many idle cores there must be for more queries at a time.
	leftCPU = 0.3
	// busyDatabase is the CPU use, in cores for each connection that runs a query, from which the
	// queries compute, and do not wait for a lock or a disk.
	busyDatabase = 0.3
)

func (d *demand) cause() string {
	switch running := d.Used * (1 - d.Idle); {
	case d.Idle >= mostlyIdle:
		return heldIdle
	case d.known && d.idle < leftCPU && d.database >= busyDatabase*min(running, 1):
		return databaseFull
	}
	return tooFew
}

// measurable is the share of what there is of the CPU, or of the event loop, from which
// its use by each connection is known. Rare queries cost several times as much as
// frequent ones: each wakes a thread and finds cold caches.
const measurable = 0.1

// possible is the number of connections that the CPU of this host can serve: each more
// needs as much CPU time as those that there are.
func (d *demand) possible(p *facts.Pass) float64 {
	own, _ := p.Rate(catalog.ProcessCPU, d.Process)
	idle, known := p.UsableIdle(d.Process)
	most := d.needed
	if known && own+d.database >= measurable*p.CPUs() {
		most = min(most, math.Floor(d.Used*(1+idle/(own+d.database))))
	}
	for _, l := range p.Loops() {
		if l.Process == d.Process && l.Busy >= measurable {
			most = min(most, math.Floor(d.Used*facts.FullLoop/l.Busy))
		}
	}
	return most
}

// estimate returns the number of connections to set.
func (d *demand) estimate(p *facts.Pass) *analysis.Estimate {
	value := max(d.Size+1, min(d.needed, d.possible(p)))
	return &analysis.Estimate{Value: value, Low: analysis.Bound(min(d.least, value)), High: analysis.Bound(max(d.needed, value)), Unit: "connections"}
}
