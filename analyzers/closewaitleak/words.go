// SPDX-License-Identifier: Apache-2.0

package closewaitleak

import (
	"fmt"
	"math"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

func (v view) summary(p *facts.Pass) string {
	text := fmt.Sprintf("%s keeps %s open that the peer has closed (CLOSE_WAIT)",
		p.Name(v.process), analysis.Number(v.count, "connection", "connections"))
	if v.growth.Steady {
		text += fmt.Sprintf(", %.0f more per hour", v.growth.Slope*hour)
	}
	switch end := v.end(); {
	case v.exhausts():
		text += fmt.Sprintf(": they take %s of its %.0f file descriptors, and none is left",
			analysis.Percent(v.count/v.fds.Limit), v.fds.Limit)
	case end != nil:
		text += fmt.Sprintf(": its %.0f file descriptors last %s", v.fds.Limit, analysis.Ahead(end.At))
	}
	return text
}

const hour = 3600

func (v view) evidence(p *facts.Pass) []analysis.Evidence {
	e := []analysis.Evidence{
		{Metric: catalog.ProcessCloseWait, Value: v.count, Unit: observe.Connections},
		{Metric: catalog.ProcessCloseWait, Label: "that stayed", Value: v.stayed, Unit: observe.Connections, Bound: analysis.Bound(p.Param(leastCount))},
	}
	if v.growth.Steady {
		e = append(e, analysis.Evidence{Metric: catalog.ProcessCloseWait, Label: "gained", Value: v.growth.Gain, Unit: observe.Connections})
	}
	if v.limited {
		e = append(e,
			analysis.Evidence{Metric: catalog.ProcessFDs, Value: v.fds.Count, Unit: observe.Descriptors},
			analysis.Evidence{Metric: catalog.ProcessFDLimit, Label: "soft limit", Value: v.fds.Limit, Unit: observe.Descriptors})
	}
	return e
}

// closers maps a runtime to the function that closes a connection.
var closers = map[string]string{
	"node":   "socket.end() in the 'end' event, or allowHalfOpen off; destroy() on errors",
	"bun":    "socket.end() when the other side ends",
	"python": "close() when recv returns nothing, in a with block or finally",
	"go":     "defer conn.Close(), and resp.Body.Close() of every answer",
	"jvm":    "close() in a try-with-resources block, also when read returns -1",
	"":       "close() when a read returns 0 bytes, on every path",
}

func (v view) advice(p *facts.Pass) analysis.Recommendation {
	closer, ok := closers[p.Attr(v.process, catalog.AttrRuntime)]
	if !ok {
		closer = closers[""]
	}
	r := analysis.Recommendation{
		Verb:   analysis.FixLeak,
		Action: fmt.Sprintf("Close each connection of %s when the peer closes it: %s", p.Name(v.process), closer),
		Verify: fmt.Sprintf("headroom.process.connections in close_wait of %s falls below %.0f", p.Command(v.process), p.Param(leastCount)),
		Risk:   "pending responses must be sent first",
		NotIf:  "they are idle connections in a client's pool, which are dropped at the next use: then set its idle timeout below that of the server",
		Expect: []analysis.Expectation{{Metric: catalog.ProcessCloseWait, From: v.count, To: 0, Unit: observe.Count}},
	}
	if v.growth.Steady {
		r.Quantity = &analysis.Estimate{Value: math.Round(v.growth.Slope * hour), High: analysis.Bound(math.Round(v.growth.High * hour)), Unit: "connections an hour"}
		if v.growth.Low > 0 {
			r.Quantity.Low = analysis.Bound(math.Round(v.growth.Low * hour))
		}
		return r
	}
	r.Quantity = &analysis.Estimate{Value: v.count, Low: analysis.Bound(v.stayed), Unit: "connections"}
	return r
}
