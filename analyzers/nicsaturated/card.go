// SPDX-License-Identifier: Apache-2.0

package nicsaturated

import (
	"fmt"
	"math"
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

// A card is one interface.
type card struct {
	id             observe.ID
	bytes          float64 // per second, p95, of the direction with more traffic
	speed          float64 // 0 if not known
	use            float64
	shaped         bool
	dropped, share float64 // packets per second, and as a share of all
	queued         float64 // the part of dropped that found the send queue full
	sent           float64 // bytes per second, both directions
}

// look reads an interface. Packets that exceed a CPU's backlog count as dropped by
// the interface that received them (enqueue_to_backlog in net/core/dev.c), but the
// interface is not the cause.
func look(p *analysis.Pass, id observe.ID, byCPUs float64) card {
	c := card{id: id}
	in, out := p95(p.Series(catalog.NICReceived, id)), p95(p.Series(catalog.NICSent, id))
	c.sent = in + out
	if speed, ok := p.Last(catalog.NICSpeed, id); ok {
		c.speed, c.bytes = speed, max(in, out)
	}
	// A shaper that is slower than the link limits what is sent.
	if rate, ok := p.Last(catalog.NICShapedTo, id); ok && rate > 0 && (c.speed == 0 || out/rate > c.bytes/c.speed) {
		c.speed, c.bytes, c.shaped = rate, out, true
	}
	if c.speed > 0 {
		c.use = c.bytes / c.speed
	}
	rate := func(ms ...*observe.Metric) (sum float64) {
		for _, m := range ms {
			r, _ := p.Rate(m, id)
			sum += r
		}
		return sum
	}
	c.queued = rate(catalog.NICQueueDropped)
	c.dropped = c.queued + rate(catalog.NICDroppedOut)
	if rate(catalog.NICPacketsIn, catalog.NICDroppedIn) >= p.Param(ringRate) {
		c.dropped += max(0, rate(catalog.NICDroppedIn)-byCPUs)
	}
	if all := c.dropped + rate(catalog.NICPacketsIn, catalog.NICPacketsOut); all > 0 {
		c.share = c.dropped / all
	}
	return c
}

func p95(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return sorted[int(0.95*float64(len(sorted)-1))]
}

// bits formats a speed as it is printed on cards.
func bits(bytes float64) string {
	const bit = 8
	switch v := bytes * bit; {
	case v >= 1e9:
		return fmt.Sprintf("%.3g Gbit/s", v/1e9)
	case v >= 1e6:
		return fmt.Sprintf("%.3g Mbit/s", v/1e6)
	default:
		return fmt.Sprintf("%.3g kbit/s", v/1e3)
	}
}

func (c card) limit() string {
	if c.shaped {
		return "its shaper's rate"
	}
	return "its link's speed"
}

func (c card) full(p *analysis.Pass) analysis.Finding {
	const known = 0.9
	f := analysis.Finding{
		Cause: link, Severity: analysis.Warning, Confidence: known, Impact: min(1, c.use), Subject: c.id,
		Summary: fmt.Sprintf("%s is at %s of %s: %s of %s (p95 of a second)", p.Name(c.id), analysis.Percent(c.use), c.limit(), bits(c.bytes), bits(c.speed)),
		Evidence: []analysis.Evidence{
			{Metric: catalog.NICSent, Label: "share of " + c.limit() + ", p95", Value: c.use, Unit: observe.Ratio, Bound: analysis.Bound(p.Param(warnUse))},
		},
		Recommendations: []analysis.Recommendation{c.moreLinks(p)},
	}
	if c.use >= p.Param(criticalUse) {
		f.Severity = analysis.Critical
	}
	if c.dropped > 0 {
		f.Summary += fmt.Sprintf(", and it drops %s of the packets", analysis.Percent(c.share))
	}
	return f
}

// moreLinks brings each link below the warning threshold. The limit hides how much
// more would be sent: at the limit the number is a lower bound.
func (c card) moreLinks(p *analysis.Pass) analysis.Recommendation {
	more := max(1, math.Ceil(c.use/p.Param(warnUse))-1)
	other := fmt.Sprintf("a link of %s or more", bits(c.bytes/p.Param(warnUse)))
	if c.shaped {
		other = fmt.Sprintf("a shaper of %s or more", bits(c.bytes/p.Param(warnUse)))
	}
	return analysis.Recommendation{
		Verb: analysis.AddNodes, Quantity: &analysis.Estimate{Value: more, Low: analysis.Bound(more), Unit: "nodes"},
		Action: fmt.Sprintf("Add %s to share the traffic of %s, or give it %s", analysis.Number(more, "node", "nodes"), p.Name(c.id), other),
		Verify: fmt.Sprintf("system.network.io of %s stays below %s of %s", p.Name(c.id), analysis.Percent(p.Param(warnUse)), c.limit()),
		NotIf:  "it is a backup or a copy that can wait: then cap its rate",
		Expect: []analysis.Expectation{{Metric: catalog.NICSent, Label: "share of " + c.limit() + ", p95", From: c.use, To: c.use / (1 + more), Unit: observe.Ratio}},
	}
}

func (c card) dropping(p *analysis.Pass) analysis.Finding {
	const known, unknown = 0.8, 0.6
	f := analysis.Finding{
		Cause: drops, Severity: analysis.Warning, Confidence: known, Impact: min(1, c.share), Subject: c.id,
		Summary: fmt.Sprintf("%s drops %s of its packets, %.0f per second, at a throughput of %s", p.Name(c.id), analysis.Percent(c.share), c.dropped, bits(c.sent)),
		Evidence: []analysis.Evidence{
			{Metric: catalog.NICQueueDropped, Label: "share of packets dropped", Value: c.share, Unit: observe.Ratio, Bound: analysis.Bound(p.Param(dropShare))},
		},
		Recommendations: []analysis.Recommendation{c.shareTraffic(p)},
	}
	if c.bursts() {
		f.Summary = fmt.Sprintf("%s drops %s of its packets, %.0f per second, at %s of %s (p95 of a second): bursts overflow its send queue",
			p.Name(c.id), analysis.Percent(c.share), c.dropped, analysis.Percent(c.use), c.limit())
	}
	if c.speed == 0 {
		f.Confidence = unknown
		f.Summary += "; its speed is not known"
		f.Gap = &observe.Gap{Source: "nic", Reason: fmt.Sprintf("the speed of %s is not known, so its use cannot be compared with a limit", p.Name(c.id))}
	}
	return f
}

// bursts reports whether packets find the send queue full although the speed is not
// used up.
func (c card) bursts() bool { return c.speed > 0 && c.queued > c.dropped/2 }

// queueSeconds is the time at full speed that a send queue should hold: the latency
// in the manual of tbf. A longer queue delays packets more.
const queueSeconds = 0.05

// shareTraffic recommends a longer queue first: more nodes help only if the queue
// is long enough.
func (c card) shareTraffic(p *analysis.Pass) analysis.Recommendation {
	queue := "its queue is long enough (ethtool -g, txqueuelen)"
	if c.bursts() {
		queue = fmt.Sprintf("its send queue holds %s (50 ms at %s) and still drops (tc qdisc: limit or latency)", analysis.Bytes(c.speed*queueSeconds), c.limit())
	}
	return analysis.Recommendation{
		Verb: analysis.AddNodes, Quantity: &analysis.Estimate{Value: 1, Low: analysis.Bound(1), Unit: "nodes"},
		Action: fmt.Sprintf("Add 1 node to share the traffic of %s, once %s", p.Name(c.id), queue),
		Verify: fmt.Sprintf("drops of %s fall below %s of its packets", p.Name(c.id), analysis.Percent(p.Param(dropShare))),
		NotIf:  "a rule drops them on purpose, or the other end of a veth pair is down",
	}
}
