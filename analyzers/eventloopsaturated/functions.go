// SPDX-License-Identifier: Apache-2.0

package eventloopsaturated

import (
	"fmt"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// within describes the function that has most of the time of the fullest loop.
func (s *service) within(p *facts.Pass) string {
	if c, ok := facts.Named(p.BusyFunctions(s.Loops[0])); ok {
		return "; " + facts.SamplesOf(c, "its time on the CPU")
	}
	return ""
}

// cheaper is the recommendation to make that function cheaper; nil if there is none. The
// loop then has the planned share in ticks or, if the whole function takes less than that,
// what is left without it.
func (s *service) cheaper(p *facts.Pass) []analysis.Recommendation {
	l := s.Loops[0]
	c, ok := facts.Named(p.BusyFunctions(l))
	if !ok || p.Seconds <= 0 {
		return nil
	}
	name := facts.FunctionName(c.Frames[0])
	takes := c.Share * min(1, p.IncreaseOr0(catalog.LoopCPU, l.ID)/p.Seconds)
	excess := s.Busy - p.Param(planned)
	r := analysis.Recommendation{
		Verb:   analysis.ReduceWork,
		Verify: fmt.Sprintf("headroom.loop.busy.time of %s falls below %s of the time", p.Command(l.Process), analysis.Percent(p.Param(fullLoop))),
		Risk:   "a cached result can be out of date",
		NotIf:  "the work of each request cannot be reduced",
	}
	if s.Busy < almostAll { // else more work waits for the time that this saves
		r.Expect = []analysis.Expectation{{Metric: catalog.LoopBusy, Label: "share of the window", From: s.Busy, To: s.Busy - min(excess, takes), Unit: observe.Ratio}}
	}
	if excess >= takes {
		r.Action = fmt.Sprintf("Make %s cheaper: with what it calls, it takes %s of the time of the event loop", name, analysis.Percent(takes))
		return []analysis.Recommendation{r}
	}
	part := excess / takes
	r.Quantity = &analysis.Estimate{Value: part, Low: analysis.Bound(part), Unit: string(observe.Ratio)}
	r.Action = fmt.Sprintf("Make %s at least %s cheaper: with what it calls, it takes %s of the time of the event loop",
		name, analysis.Percent(part), analysis.Percent(takes))
	return []analysis.Recommendation{r}
}
