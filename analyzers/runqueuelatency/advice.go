// SPDX-License-Identifier: Apache-2.0

package runqueuelatency

import (
	"fmt"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/capacity"
	"github.com/headroom-project/headroom/analyzers/facts"
)

func (g *group) advice(p *facts.Pass, cause string, culprits []facts.Culprit) analysis.Recommendation {
	var r analysis.Recommendation
	switch cause {
	case noisyNeighbour:
		r = g.capNeighbour(p, stranger(culprits))
	case ownThreads:
		r = g.reduceThreads(p)
	default:
		if robbed(p) {
			r = p.DedicatedCPUs(p.Param(robbedHost))
			break
		}
		r = g.addNodes(p)
	}
	r.Verify = g.verify(p)
	to := max(g.share()*(1-g.relief(cause, culprits)), min(g.share()/2, quietShare))
	r.Expect = []analysis.Expectation{{Metric: catalog.ProcessRunQueue, Label: "share of waiting and running", From: g.share(), To: to, Unit: observe.Ratio}}
	return r
}

// verify returns the check of the number whose bound was exceeded.
func (g *group) verify(p *facts.Pass) string {
	switch {
	case g.counted && g.p99 > p.Param(warnDelay):
		return fmt.Sprintf("headroom.process.run_queue.delay p99 of %s falls below %s", g.name(p), analysis.Seconds(p.Param(warnDelay)))
	case g.late:
		return fmt.Sprintf("headroom.loop.lag p99 of %s falls below %s", g.name(p), analysis.Seconds(p.Param(lateLoop)))
	}
	return fmt.Sprintf("headroom.process.run_queue.time of %s falls below %s of the time that it runs or waits", g.name(p), analysis.Percent(p.Param(warnShare)))
}

// quietShare is the share of waiting that every busy host has. Below it, the measurement
// is not accurate enough to predict an improvement.
const quietShare = 0.10

// relief is the share of the wait that the recommendation removes.
func (g *group) relief(cause string, culprits []facts.Culprit) float64 {
	if cause == noisyNeighbour {
		return stranger(culprits).Share
	}
	if cause == ownThreads && len(culprits) > 0 {
		return 1 - stranger(culprits).Share
	}
	return 1
}

const (
	// blameError is the maximum error of blame: delays of less than a millisecond are
	// not attributed.
	blameError = 0.25
	// worthCapping is the share of its current use above which a cap makes no
	// noticeable difference for clients.
	worthCapping = 0.9
)

// capNeighbour limits the culprit to its use minus the time that the victim waited
// for it (docs/science.md, Run queues).
func (g *group) capNeighbour(p *facts.Pass, c facts.Culprit) analysis.Recommendation {
	if len(c.Processes) == 0 {
		return analysis.Recommendation{
			Verb:   analysis.CapNeighbour,
			Action: fmt.Sprintf("Cap the other processes on the CPUs of %s, or move them to another host", g.name(p)),
			Risk:   "the capped process takes longer",
			NotIf:  "it is pinned to fewer CPUs than it has threads",
		}
	}
	use, waited := c.Use(p), c.Seconds/p.Seconds
	cores := func(taken float64) float64 {
		return max(capacity.LeastCap, capacity.FloorTo(use-taken, capacity.LeastCap))
	}
	value := cores(waited)
	r := analysis.Recommendation{
		Verb: analysis.CapNeighbour,
		Quantity: &analysis.Estimate{Value: value, Low: analysis.Bound(cores(waited * (1 + blameError))),
			High: analysis.Bound(cores(waited * (1 - blameError))), Unit: "cores"},
		Action: fmt.Sprintf("Cap %s at %s, from %s (cpu.max, or a lower cpu.weight)", c.Name, analysis.Cores(value), analysis.Cores(use)),
		Risk:   "the capped process takes longer",
		NotIf:  "the neighbour matters more: then move one of the two to another host",
	}
	if value > worthCapping*use {
		r = g.lowerWeight(p, c)
	}
	if idle, ok := p.IdleCores(); ok && g.couldMove(p) {
		r.Action += fmt.Sprintf(", or let both use every CPU: %s are idle", analysis.Cores(idle))
	}
	return r
}

// lowerWeight is the recommendation for a neighbour that runs at the wrong moment,
// but not too much.
func (g *group) lowerWeight(p *facts.Pass, c facts.Culprit) analysis.Recommendation {
	return analysis.Recommendation{
		Verb:   analysis.CapNeighbour,
		Action: fmt.Sprintf("Lower the cpu.weight of %s, or move it off the CPUs of %s: it uses %s, and a cap close to that changes nothing", c.Name, g.name(p), analysis.Cores(c.Use(p))),
		Risk:   "the neighbour takes longer",
		NotIf:  "the neighbour matters more: then move one of the two to another host",
	}
}

// freeCore is the number of idle CPUs from which a core counts as free.
const freeCore = 0.5

// idleEnough is the number of idle cores from which a host is not full for processes that
// are pinned to other cores: a moderately busy server uses a quarter of a core.
const idleEnough = 0.25

func (g *group) addNodes(p *facts.Pass) analysis.Recommendation {
	n := p.MoreNodes()
	action := "Add nodes like this one"
	if n != nil {
		action = fmt.Sprintf("Add %s like this one", analysis.Number(n.Value, "node", "nodes"))
	}
	return analysis.Recommendation{
		Verb: analysis.AddNodes, Quantity: n,
		Action: action + " and spread the services over them",
		Risk:   "a database behind them gets more connections",
		NotIf:  "a batch job that can wait fills the host: then cap it",
	}
}
