// SPDX-License-Identifier: Apache-2.0

// Package nicsaturated finds network interfaces at the speed of their link,
// interfaces that drop packets, and CPUs that take in packets for all others.
package nicsaturated

import (
	_ "embed"
	"fmt"
	"math"
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

//go:embed doc.md
var doc string

// Analyzer is nic-saturated.
var Analyzer = &analysis.Analyzer{
	Name:   "nic-saturated",
	Title:  "Is a network interface at its limit?",
	Doc:    doc,
	Row:    3,
	Causes: []string{link, drops, oneCore},
	Verbs:  []analysis.Verb{analysis.AddNodes, analysis.SpreadInterrupts},
	Needs:  []*observe.Metric{catalog.NICSent, catalog.NICReceived},
	Wants: []*observe.Metric{catalog.NICSpeed, catalog.NICShapedTo, catalog.NICPacketsIn, catalog.NICPacketsOut, catalog.NICDroppedIn,
		catalog.NICDroppedOut, catalog.NICQueueDropped, catalog.CPUSoftIRQ, catalog.CPUIdle, catalog.SoftnetDropped},
	Params:     []*analysis.Param{warnUse, criticalUse, dropShare, dropRate, softirqShare},
	MinSeconds: 60,
	Slow:       true,
	Run:        run,
}

const (
	link    = "link"
	drops   = "drops"
	oneCore = "one-softirq-core"
)

var (
	warnUse = &analysis.Param{Name: "warn-use", Unit: observe.Ratio, Default: 0.7, Enters: true,
		Doc: "p95 of the readings of a second over the speed: within such a second bursts fill the link, and a node's failure doubles its neighbour's share."}
	criticalUse = &analysis.Param{Name: "critical-use", Unit: observe.Ratio, Default: 0.9,
		Doc: "Where Netdata warns: headers and gaps between frames take the rest, so that more does not go through."}
	dropShare = &analysis.Param{Name: "drop-share", Unit: observe.Ratio, Default: 0.02,
		Doc: "Share of the packets that were dropped (Netdata): at 2 % TCP sends 9 segments a round trip (Mathis: 1.22/√p)."}
	dropRate = &analysis.Param{Name: "drop-rate", Unit: "1/s", Default: 10,
		Doc: "Drops a second below which nothing is said: an idle interface drops frames of protocols that the host does not speak (LLDP, spanning tree) at one a second or two."}
	softirqShare = &analysis.Param{Name: "softirq-share", Unit: observe.Ratio, Default: 0.9,
		Doc: "Share of a CPU's time in softirq from which it is taken for full."}
)

func run(p *analysis.Pass) []analysis.Finding {
	var fs []analysis.Finding
	for id := range p.Entities(catalog.NICSent) {
		p.Checked()
		c := look(p, id)
		if c.use >= p.Param(warnUse) {
			fs = append(fs, c.full(p))
		} else if c.share >= p.Param(dropShare) && c.dropped >= p.Param(dropRate) {
			fs = append(fs, c.dropping(p))
		}
	}
	if f := hotCore(p); f != nil {
		fs = append(fs, *f)
	}
	return fs
}

// A card is one interface.
type card struct {
	id             observe.ID
	bytes          float64 // a second, p95, of the direction that is fuller
	speed          float64 // 0 when not known
	use            float64
	shaped         bool
	dropped, share float64 // packets a second, and of all
	sent           float64 // bytes a second, both directions
}

func look(p *analysis.Pass, id observe.ID) card {
	c := card{id: id}
	in, out := p95(p.Series(catalog.NICReceived, id)), p95(p.Series(catalog.NICSent, id))
	c.sent = in + out
	if speed, ok := p.Last(catalog.NICSpeed, id); ok {
		c.speed, c.bytes = speed, max(in, out)
	}
	// A shaper holds back what is sent, and is slower than the link.
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
	c.dropped = rate(catalog.NICDroppedIn, catalog.NICDroppedOut, catalog.NICQueueDropped)
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

// bits writes a speed as it is printed on cards.
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

// moreLinks brings each below the share that warns. What the limit holds back
// is not seen: at the limit the number is the least.
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
		NotIf:  "it is a backup or a copy that can wait: cap its rate",
		Expect: []analysis.Expectation{{Metric: catalog.NICSent, Label: "share of " + c.limit() + ", p95", From: c.use, To: c.use / (1 + more), Unit: observe.Ratio}},
	}
}

func (c card) dropping(p *analysis.Pass) analysis.Finding {
	const known, unknown = 0.8, 0.6
	f := analysis.Finding{
		Cause: drops, Severity: analysis.Warning, Confidence: known, Impact: min(1, c.share), Subject: c.id,
		Summary: fmt.Sprintf("%s drops %s of its packets, %.0f a second, while %s go through", p.Name(c.id), analysis.Percent(c.share), c.dropped, bits(c.sent)),
		Evidence: []analysis.Evidence{
			{Metric: catalog.NICQueueDropped, Label: "share of packets dropped", Value: c.share, Unit: observe.Ratio, Bound: analysis.Bound(p.Param(dropShare))},
		},
		Recommendations: []analysis.Recommendation{{
			Verb: analysis.AddNodes, Quantity: &analysis.Estimate{Value: 1, Low: analysis.Bound(1), Unit: "nodes"},
			Action: fmt.Sprintf("Add 1 node to share the traffic of %s, once its queue is long enough (ethtool -g, txqueuelen)", p.Name(c.id)),
			Verify: fmt.Sprintf("drops of %s fall below %s of its packets", p.Name(c.id), analysis.Percent(p.Param(dropShare))),
			NotIf:  "a rule drops them on purpose, or the peer at the other end of a veth is not up",
		}},
	}
	if c.speed == 0 {
		f.Confidence = unknown
		f.Summary += "; its speed is not known"
		f.Gap = &observe.Gap{Source: "nic", Reason: fmt.Sprintf("the speed of %s is not known, so that nobody can say how near its limit is", p.Name(c.id))}
	}
	return f
}

// hotCore finds a CPU that spends its time in softirq while another has half
// of its time left: a second queue would use it, a faster card would not.
func hotCore(p *analysis.Pass) *analysis.Finding {
	const free = 0.5
	hot, most, idle := observe.None, 0.0, 0.0
	for cpu := range p.Entities(catalog.CPUSoftIRQ) {
		if soft, _ := p.Rate(catalog.CPUSoftIRQ, cpu); soft > most {
			hot, most = cpu, soft
		}
	}
	if hot == observe.None || most < p.Param(softirqShare) {
		return nil
	}
	for cpu := range p.Entities(catalog.CPUIdle) {
		if rate, _ := p.Rate(catalog.CPUIdle, cpu); cpu != hot {
			idle = max(idle, rate)
		}
	}
	packets, _ := p.Rate(catalog.SoftnetPackets, hot)
	if idle < free || packets == 0 {
		return nil
	}
	const measured, planned = 0.85, 0.7
	cores := max(2, math.Ceil(most/planned))
	core := "core " + p.Index.Entity(hot).ID
	return &analysis.Finding{
		Cause: oneCore, Severity: analysis.Warning, Confidence: measured, Impact: min(1, most), Subject: hot,
		Summary:  fmt.Sprintf("%s takes in packets for %s of its time, %.0f a second, while another is %s idle", core, analysis.Percent(most), packets, analysis.Percent(idle)),
		Evidence: []analysis.Evidence{{Metric: catalog.CPUSoftIRQ, Label: "share of the core", Value: most, Unit: observe.Ratio, Bound: analysis.Bound(p.Param(softirqShare))}},
		Recommendations: []analysis.Recommendation{{
			Verb: analysis.SpreadInterrupts, Quantity: &analysis.Estimate{Value: cores, Low: analysis.Bound(2), Unit: "cores"},
			Action: fmt.Sprintf("Spread interrupts over %.0f cores: more queues of the card (ethtool -L), or /sys/class/net/*/queues/*/rps_cpus where it has one", cores),
			Verify: fmt.Sprintf("the softirq share of %s falls below %s", core, analysis.Percent(planned)),
			NotIf:  "it is one flow: all packets of a connection go to one core",
		}},
	}
}
