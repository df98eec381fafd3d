// SPDX-License-Identifier: Apache-2.0

package slowupstream

import (
	"fmt"
	"math"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

func (v *view) address(p *facts.Pass) string {
	return catalog.HostPort(p.Attr(v.ID, catalog.AttrDestination), p.Attr(v.ID, catalog.AttrDestPort), "")
}

// calls returns "1 call", "301 calls".
func (v *view) calls() string {
	return analysis.Number(math.Max(1, v.PerRequest()), "call", "calls")
}

func (v *view) summary(p *facts.Pass) string {
	return fmt.Sprintf("Requests to %s take %s, and for %s of that they wait for PostgreSQL (%s), %s of %s each: %s",
		p.Name(v.Process), analysis.Seconds(v.Request), analysis.Percent(v.Share()), v.address(p), v.calls(), analysis.Seconds(v.Call), v.why(p))
}

func (v *view) why(p *facts.Pass) string {
	switch v.cause {
	case network:
		return fmt.Sprintf("the network takes %s of a call", analysis.Seconds(v.inNetwork))
	case onCPU:
		return fmt.Sprintf("the database uses %s for %.1f calls at a time, and %.1f of its processes wait for a CPU", analysis.Cores(v.time.CPU), v.time.Serving, v.time.Waited)
	case onDisk:
		return fmt.Sprintf("for %s of the time a process of the database waits for its disk", analysis.Percent(v.time.Disk))
	case waits:
		return fmt.Sprintf("its processes sleep, without a CPU or a disk: the queries wait for a lock, or call pg_sleep%s", v.suspect(p))
	}
	return v.whyUnknown()
}

// whyUnknown says what is missing.
func (v *view) whyUnknown() string {
	switch {
	case !v.local:
		return fmt.Sprintf("the network takes %s of a call or more; the database is not known to be on this host, which does not see the rest", analysis.Seconds(v.inNetwork))
	case !v.alone:
		return "most of what the database does is for other clients, so that the cause is not known"
	}
	return "not all that the database does for them is seen, so that the cause is not known"
}

// suspect names who can hold the lock.
func (v *view) suspect(p *facts.Pass) string {
	if v.holder == observe.None {
		return ""
	}
	who := p.Name(v.holder)
	if v.holder == v.Process {
		who = "it"
	}
	return fmt.Sprintf("; meanwhile %s keeps %s open without a query", who, analysis.Number(math.Max(1, v.held), "transaction", "transactions"))
}

func (v *view) evidence(p *facts.Pass) []analysis.Evidence {
	e := []analysis.Evidence{
		{Metric: catalog.RequestDuration, Label: "mean", Value: v.Request, Unit: observe.Seconds},
		{Metric: catalog.CallDuration, Label: "mean", Value: v.Call, Unit: observe.Seconds},
		{Metric: catalog.CallDuration, Label: "calls for each request", Value: v.PerRequest(), Unit: observe.Count},
		{Metric: catalog.CallDuration, Label: "share of the time of requests", Value: v.Share(), Unit: observe.Ratio, Bound: analysis.Bound(half)},
		{Metric: catalog.CallDuration, Label: "time of a request", Value: v.Spent(), Unit: observe.Seconds, Bound: analysis.Bound(p.Param(leastTime))},
		{Metric: catalog.ClientRTT, Label: "outside of the database", Value: v.inNetwork, Unit: observe.Seconds, Bound: analysis.Bound(half * v.Call)},
	}
	if v.local {
		e = append(e, analysis.Evidence{Metric: catalog.ProcessCPU, Label: "of the database", Value: v.time.CPU, Unit: observe.Cores},
			analysis.Evidence{Metric: catalog.ProcessRunQueue, Label: "of the database", Value: v.time.Waited, Unit: observe.Cores},
			analysis.Evidence{Metric: catalog.ProcessDiskWaiting, Label: "of the database, share of readings", Value: v.time.Disk, Unit: observe.Ratio})
	}
	if v.holder != observe.None {
		e = append(e, analysis.Evidence{Metric: catalog.ClientIdleTime, Label: "open without a query, mean", Value: v.held, Unit: observe.Connections})
	}
	return e
}

func (v *view) advice(p *facts.Pass) analysis.Recommendation {
	r := analysis.Recommendation{Verb: analysis.ReduceWork, NotIf: "other work of the same process makes these calls, and its requests wait for something else"}
	name := p.Name(v.Process)
	switch v.cause {
	case network:
		r.Action = v.fewerCalls(name)
	case onCPU:
		r.Action = fmt.Sprintf("Find the queries of %s that take most time in the database (pg_stat_statements: total_exec_time), and make them cheaper: an index, fewer rows, or a cache of their answers", name)
	case onDisk:
		r.Action = fmt.Sprintf("Let %s use the disk of the database less: fewer commits (several changes in one transaction), or queries that read less (EXPLAIN (ANALYZE, BUFFERS)); otherwise give the database a faster disk or more memory", name)
	case waits:
		r.Verb, r.Action = analysis.FindCause, v.findLock(p, name)
	default:
		r.Verb, r.Action = analysis.FindCause, fmt.Sprintf("Look in the database at %s what the queries of %s wait for: SELECT wait_event_type, wait_event, count(*) FROM pg_stat_activity WHERE state = 'active' GROUP BY 1, 2", v.address(p), name)
	}
	r.Verify = fmt.Sprintf("the mean of headroom.request.duration of %s falls towards %s, which is its time without these calls", name, analysis.Seconds(v.Request-v.Spent()))
	if v.cause == network && v.PerRequest() >= 2 {
		won := (v.PerRequest() - 1) * v.inNetwork
		r.Expect = []analysis.Expectation{{Metric: catalog.RequestDuration, Label: "mean", From: v.Request, To: max(0, v.Request-won), Unit: observe.Seconds}}
	}
	return r
}

// fewerCalls is the advice for calls that spend their time in the network.
func (v *view) fewerCalls(name string) string {
	if v.PerRequest() >= 2 {
		return fmt.Sprintf("Let %s ask for all that a request needs in one query, instead of %.0f: each takes %s in the network", name, v.PerRequest(), analysis.Seconds(v.inNetwork))
	}
	return fmt.Sprintf("Run %s near its database, or repair the path between them: a call takes %s in the network", name, analysis.Seconds(v.inNetwork))
}

func (v *view) findLock(p *facts.Pass, name string) string {
	text := fmt.Sprintf("Find what the queries of %s wait for: SELECT pid, wait_event_type, wait_event, pg_blocking_pids(pid) FROM pg_stat_activity WHERE state = 'active'", name)
	if v.holder == observe.None || v.holder == v.Process {
		return text + "; then make the transactions that block them shorter"
	}
	return text + fmt.Sprintf("; look first at %s, which keeps transactions open without a query", p.Name(v.holder))
}
