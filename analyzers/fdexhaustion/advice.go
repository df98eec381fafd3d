// SPDX-License-Identifier: Apache-2.0

package fdexhaustion

import (
	"cmp"
	"fmt"
	"math"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

func (v *view) advice(p *facts.Pass) []analysis.Recommendation {
	raise := v.raiseLimit(p)
	if v.cause != leak {
		return []analysis.Recommendation{raise}
	}
	raise.NotIf = "the leak continues: a higher limit only delays the failure"
	if v.leaking && v.growth.Slope > 0 {
		more := raise.Quantity.Value - v.Limit
		raise.Action += fmt.Sprintf("; the leak then takes %s longer to reach the limit", analysis.Ahead(more/v.growth.Slope))
	}
	return []analysis.Recommendation{v.fixLeak(p), raise}
}

func (v *view) fixLeak(p *facts.Pass) analysis.Recommendation {
	name := p.Name(v.Process)
	r := analysis.Recommendation{
		Verb:   analysis.FixLeak,
		Action: fmt.Sprintf("Close the %s that %s keeps open, on every code path, errors included (ls -l /proc/%s/fd lists them)", v.leaked(), name, cmp.Or(p.Attr(v.Process, catalog.AttrPID), "PID")),
		Verify: fmt.Sprintf("process.unix.file_descriptor.count of %s stays level while the number of its connections does", p.Command(v.Process)),
		Risk:   "a descriptor that another part of the program still uses must stay open",
		NotIf:  "it is a cache or a pool that is still filling, or it needs that many: then raise the limit",
	}
	if !v.leaking {
		return r
	}
	const hour = 3600
	perHour := func(slope float64) *float64 { return analysis.Bound(math.Round(slope * hour)) }
	r.Quantity = &analysis.Estimate{Value: *perHour(v.growth.Slope), High: perHour(v.growth.High), Unit: "descriptors an hour"}
	if v.growth.Low > 0 {
		r.Quantity.Low = perHour(v.growth.Low)
	}
	r.Action += fmt.Sprintf(": %.0f more per hour", r.Quantity.Value)
	r.Expect = []analysis.Expectation{{Metric: catalog.ProcessFDs, Label: "gained", From: v.growth.Gain, To: 0, Unit: observe.Count}}
	return r
}

// leaked names what is leaked: the kind that grows, or that most of the descriptors
// are.
func (v *view) leaked() string {
	if v.closeWait.last >= most*v.Count || v.leaking && v.closeWait.gain >= most*v.growth.Gain {
		return "connections that the peer has closed"
	}
	for _, k := range v.kinds {
		if v.leaking && k.gain >= most*v.growth.Gain || !v.leaking && k.last >= most*v.Count {
			return k.name
		}
	}
	return "descriptors"
}

// room is the factor of a limit above the highest number seen: half as much again,
// rounded up to a power of two, as limits usually are (docs/science.md,
// Descriptors).
const room = 1.5

func (v *view) raiseLimit(p *facts.Pass) analysis.Recommendation {
	peak := max(p.WeeksPeak(catalog.ProcessFDs, v.Process, v.Peak), v.Limit*p.Param(warnShare))
	n := math.Exp2(math.Ceil(math.Log2(room * peak)))
	q := &analysis.Estimate{Value: n, Low: analysis.Bound(math.Ceil(peak / p.Param(warnShare))), Unit: "descriptors"}
	if !v.Exhausted() {
		// A reached limit hides how many more were needed.
		q.High = analysis.Bound(n)
	}
	r := analysis.Recommendation{
		Verb: analysis.RaiseFDLimit, Quantity: q,
		Action: fmt.Sprintf("Raise the file-descriptor limit of %s from %.0f to %.0f (LimitNOFILE=, ulimit -n, --ulimit nofile)", p.Name(v.Process), v.Limit, n),
		Verify: fmt.Sprintf("process.unix.file_descriptor.count of %s stays below %s of its limit at the next peak", p.Command(v.Process), analysis.Percent(p.Param(warnShare))),
		Risk:   "each additional connection takes memory and CPU",
		NotIf:  "its clients keep unused connections open: then set an idle timeout",
		Expect: []analysis.Expectation{{Metric: catalog.ProcessFDs, Label: "share of the soft limit", From: v.Share(), To: v.Peak / n, Unit: observe.Ratio}},
	}
	if v.Hard > 0 && n > v.Hard {
		r.Action += fmt.Sprintf(" and the hard limit of %.0f with it (requires root)", v.Hard)
	}
	return r
}
