// SPDX-License-Identifier: Apache-2.0

package nplusone

import (
	"fmt"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

func summary(p *facts.Pass, r *facts.Repeat) string {
	return fmt.Sprintf("Requests to %s take %s, and for %s of that they repeat one query of PostgreSQL (%s): %.0f calls for each request, of %s each, that differ in their values only",
		p.Name(r.Process), analysis.Seconds(r.Request), analysis.Percent(r.Spent()/r.Request),
		catalog.HostPort(p.Attr(r.ID, catalog.AttrDestination), p.Attr(r.ID, catalog.AttrDestPort), ""), r.PerRequest(), analysis.Seconds(r.Call()))
}

func evidence(p *facts.Pass, r *facts.Repeat) []analysis.Evidence {
	return []analysis.Evidence{
		{Metric: catalog.StatementCalls, Label: "calls for each request", Value: r.PerRequest(), Unit: "{call}"},
		{Metric: catalog.CallDuration, Label: "calls of all statements for each request", Value: r.All / max(1, r.Answers), Unit: "{call}"},
		{Metric: catalog.StatementTime, Label: "mean time of a call", Value: r.Call(), Unit: observe.Seconds},
		{Metric: catalog.CallLate, Label: "mean time until an answer is read", Value: r.Late / max(1, r.Calls), Unit: observe.Seconds},
		{Metric: catalog.RequestDuration, Label: "mean", Value: r.Request, Unit: observe.Seconds},
		{Metric: catalog.StatementTime, Label: "time of a request that one query saves", Value: r.Won(), Unit: observe.Seconds, Bound: analysis.Bound(p.Param(leastTime))},
		{Metric: catalog.StatementTime, Label: "share of the time of requests", Value: r.Won() / r.Request, Unit: observe.Ratio, Bound: analysis.Bound(p.Param(leastShare))},
		{Metric: catalog.CallBusy, Label: "share of the window with a call", Value: r.Busy, Unit: observe.Ratio},
		{Metric: catalog.RequestActive, Label: "mean", Value: r.Requests, Unit: "{request}"},
	}
}

func advice(p *facts.Pass, r *facts.Repeat) analysis.Recommendation {
	name, n := p.Name(r.Process), r.PerRequest()
	all := r.All / max(1, r.Answers)
	return analysis.Recommendation{
		Verb: analysis.BatchQueries,
		Action: fmt.Sprintf("Let %s ask for all rows of a request in one query instead of %.0f: a JOIN, WHERE id = ANY($1), or the eager loading of the ORM (include, relations, joinedload, prefetch_related). "+
			"pg_stat_statements shows the query: ORDER BY calls DESC", name, n),
		Verify: fmt.Sprintf("the mean of headroom.request.duration of %s falls by about %s, and the count of headroom.client.call.duration for each request from %.0f to %.0f", name, analysis.Seconds(r.Won()), all, all-n+1),
		Risk:   "one query for very many rows takes more memory, and a lock for longer",
		NotIf:  "other work of the same process makes these calls while its requests wait for something else",
		Expect: []analysis.Expectation{
			{Metric: catalog.CallDuration, Label: "calls of all statements for each request", From: all, To: all - n + 1, Unit: "{call}"},
			{Metric: catalog.RequestDuration, Label: "mean", From: r.Request, To: max(0, r.Request-r.Won()), Unit: observe.Seconds},
		},
	}
}
