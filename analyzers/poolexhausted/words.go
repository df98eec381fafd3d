// SPDX-License-Identifier: Apache-2.0

package poolexhausted

import (
	"fmt"
	"math"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

func connections(n float64) string { return analysis.Number(n, "connection", "connections") }

// address returns the address of the database.
func (d *demand) address(p *facts.Pass) string {
	return catalog.HostPort(p.Attr(d.ID, catalog.AttrDestination), p.Attr(d.ID, catalog.AttrDestPort), "")
}

func (d *demand) summary(p *facts.Pass) string {
	text := fmt.Sprintf("Requests to %s wait %s for a connection to PostgreSQL (%s), %.0f at a time: its %s are in use %s of the time",
		p.Name(d.Process), analysis.Seconds(d.Wait()), d.address(p), math.Max(1, d.Waiting()), connections(d.Size), analysis.Percent(min(1, d.Used/d.Size)))
	switch d.cause() {
	case heldIdle:
		return text + fmt.Sprintf(", and for %s of that they are in a transaction and run no query", analysis.Percent(d.Idle))
	case databaseFull:
		return text + fmt.Sprintf(", and the database has no CPU time left: it uses %s", analysis.Cores(d.database))
	}
	return text + fmt.Sprintf(", each use takes %s", analysis.Seconds(d.Hold))
}

func (d *demand) evidence(p *facts.Pass) []analysis.Evidence {
	e := []analysis.Evidence{
		{Metric: catalog.ClientConnections, Label: "held", Value: d.Size, Unit: observe.Connections},
		{Metric: catalog.ClientUsedTime, Label: "in use, mean", Value: d.Used, Unit: observe.Connections},
		{Metric: catalog.ClientUses, Label: "mean time of a use", Value: d.Hold, Unit: observe.Seconds},
		{Metric: catalog.ClientIdleTime, Label: "share of the time in use", Value: d.Idle, Unit: observe.Ratio, Bound: analysis.Bound(mostlyIdle)},
		{Metric: catalog.RequestActive, Label: "mean", Value: d.Active, Unit: "{request}"},
		{Metric: catalog.RequestActive, Label: "time that one waits for a connection", Value: d.Wait(), Unit: observe.Seconds, Bound: analysis.Bound(p.Param(leastWait))},
	}
	if d.known {
		e = append(e, analysis.Evidence{Metric: catalog.ProcessCPU, Label: "of the database", Value: d.database, Unit: observe.Cores})
	}
	return e
}

func (d *demand) advice(p *facts.Pass) []analysis.Recommendation {
	switch d.cause() {
	case heldIdle:
		return []analysis.Recommendation{d.release(p), d.enlarge(p)}
	case databaseFull:
		return []analysis.Recommendation{d.relieve(p)}
	}
	return []analysis.Recommendation{d.enlarge(p)}
}

// release is the advice to keep a connection only while queries run.
func (d *demand) release(p *facts.Pass) analysis.Recommendation {
	short := d.Hold * (1 - d.Idle)
	return analysis.Recommendation{
		Verb: analysis.ReleaseEarlier,
		Action: fmt.Sprintf("Let %s do other work before it takes a connection or after COMMIT: a request keeps one for %s, and %s of that runs queries",
			p.Name(d.Process), analysis.Seconds(d.Hold), analysis.Seconds(short)),
		Verify: d.verify(p),
		NotIf:  "the other work must be part of the transaction",
		Expect: []analysis.Expectation{{Metric: catalog.ClientUses, Label: "mean time of a use", From: d.Hold, To: short, Unit: observe.Seconds}},
	}
}

// enlarge is the advice to set another size of the pool.
func (d *demand) enlarge(p *facts.Pass) analysis.Recommendation {
	n := d.estimate(p)
	r := analysis.Recommendation{
		Verb: analysis.SetPoolSize, Quantity: n,
		Action: fmt.Sprintf("Set the pool of %s to %s", p.Name(d.Process), connections(n.Value)),
		Verify: d.verify(p),
		Risk:   "All clients of a PostgreSQL together can hold max_connections (100 unless it is set), and each takes a process of several MB",
		NotIf:  "the requests wait by design, for example long polls, while other work fills the pool",
		Expect: []analysis.Expectation{{Metric: catalog.RequestActive, Label: "time that one waits for a connection", From: d.Wait(), To: d.rest(p, n.Value), Unit: observe.Seconds}},
	}
	if n.Value < d.needed {
		r.Risk = fmt.Sprintf("With more than %s, CPU time becomes the limit. %s", connections(n.Value), r.Risk)
	}
	return r
}

// rest returns for how long a request still waits with n connections, at most: a wait
// below the threshold is not promised to end.
func (d *demand) rest(p *facts.Pass, n float64) float64 {
	if n >= d.needed {
		return p.Param(leastWait)
	}
	return max(p.Param(leastWait), (d.Active-n)/(d.Answered*n/d.Used))
}

// relieve is the advice for a database that could not serve more connections.
func (d *demand) relieve(p *facts.Pass) analysis.Recommendation {
	return analysis.Recommendation{
		Verb:   analysis.ReduceWork,
		Action: fmt.Sprintf("Find the queries of %s that take most CPU time (pg_stat_statements), and make them cheaper or fewer: with more connections they would wait for the CPU of the database instead", p.Name(d.Process)),
		Verify: d.verify(p),
		NotIf:  "other programs use the CPU of this host",
	}
}

func (d *demand) verify(p *facts.Pass) string {
	return fmt.Sprintf("the p50 of headroom.request.duration of %s falls by about %s", p.Name(d.Process), analysis.Seconds(d.Wait()))
}
