// SPDX-License-Identifier: Apache-2.0

package nicsaturated

import (
	"fmt"
	"math"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

// planned is the share of a core in softirq to plan for.
const planned = 0.7

// A core holds the packets that one CPU processes, per second.
type core struct {
	id       observe.ID
	softirq  float64 // share of its time
	idle     float64 // share of its time; a CPU that waits for disks is idle
	packets  float64
	dropped  float64 // packets that exceeded its backlog
	often    float64 // share of the readings with such packets
	squeezed float64 // runs that ended with packets left
}

// cores are the host's CPUs.
type cores []core

func lookAtCPUs(p *analysis.Pass) cores {
	var all cores
	for id := range p.Entities(catalog.CPUIdle) {
		c, disks := core{id: id}, 0.0
		for m, to := range map[*observe.Metric]*float64{
			catalog.CPUSoftIRQ: &c.softirq, catalog.CPUIdle: &c.idle, catalog.CPUIOWait: &disks, catalog.SoftnetPackets: &c.packets,
			catalog.SoftnetDropped: &c.dropped, catalog.SoftnetSqueezed: &c.squeezed,
		} {
			*to, _ = p.Rate(m, id)
		}
		c.idle += disks
		c.often = often(p.Series(catalog.SoftnetDropped, id))
		all = append(all, c)
	}
	return all
}

func often(rates []float64) float64 {
	some := 0.0
	for _, rate := range rates {
		if rate > 0 {
			some++
		}
	}
	return some / float64(max(1, len(rates)))
}

// dropped returns the packets that exceeded the backlogs of all CPUs.
func (cs cores) dropped() (sum float64) {
	for _, c := range cs {
		sum += c.dropped
	}
	return sum
}

func (cs cores) findings(p *analysis.Pass) []analysis.Finding {
	var fs []analysis.Finding
	for _, c := range cs {
		hot := c.softirq >= p.Param(softirqShare)
		switch idle := cs.idleBeside(c.id); {
		case hot && c.packets > 0 && idle >= leastIdle:
			fs = append(fs, c.alone(p, idle))
		case c.drops(p):
			fs = append(fs, c.overflowing(p, hot))
		}
	}
	return fs
}

// leastIdle is the share of another core's time that must be idle for spreading
// packets to be worth it.
const leastIdle = 0.5

// idleBeside returns the idle share of the most idle other CPU.
func (cs cores) idleBeside(id observe.ID) (idle float64) {
	for _, c := range cs {
		if c.id != id {
			idle = max(idle, c.idle)
		}
	}
	return idle
}

func (c core) name(p *analysis.Pass) string { return "core " + p.Index.Entity(c.id).ID }

// share is the share of its packets that it dropped: the kernel counts processed
// ones separately.
func (c core) share() float64 { return c.dropped / max(1, c.dropped+c.packets) }

// drops reports whether it repeatedly loses packets that matter.
func (c core) drops(p *analysis.Pass) bool {
	return c.dropped >= p.Param(dropRate) && c.share() >= p.Param(dropShare) && c.often >= p.Param(dropReadings)
}

// evidence describes what the kernel does if a core does not keep up: first it
// leaves packets for its next run, which loses none, then it drops them.
func (c core) evidence() []analysis.Evidence {
	return []analysis.Evidence{
		{Metric: catalog.SoftnetDropped, Label: "packets dropped per second", Value: c.dropped, Unit: observe.Count},
		{Metric: catalog.SoftnetSqueezed, Label: "turns that left packets, per second", Value: c.squeezed, Unit: observe.Count},
	}
}

// alone is the finding about a CPU that spends its time in softirq while another is
// half idle: a second queue would use that one, a faster card would not.
func (c core) alone(p *analysis.Pass, idle float64) analysis.Finding {
	const measured = 0.85
	spread := max(2, math.Ceil(c.softirq/planned))
	f := analysis.Finding{
		Cause: oneCore, Severity: analysis.Warning, Confidence: measured, Impact: min(1, c.softirq), Subject: c.id,
		Summary: fmt.Sprintf("%s handles received packets for %s of its time (%.0f per second) while another core is %s idle",
			c.name(p), analysis.Percent(c.softirq), c.packets, analysis.Percent(idle)),
		Evidence: append([]analysis.Evidence{
			{Metric: catalog.CPUSoftIRQ, Label: "share of the core", Value: c.softirq, Unit: observe.Ratio, Bound: analysis.Bound(p.Param(softirqShare))},
		}, c.evidence()...),
		Recommendations: []analysis.Recommendation{{
			Verb: analysis.SpreadInterrupts, Quantity: &analysis.Estimate{Value: spread, Low: analysis.Bound(2), Unit: "cores"},
			Action: fmt.Sprintf("Spread interrupts over %.0f cores: more queues of the card (ethtool -L), or /sys/class/net/*/queues/*/rps_cpus where it has one", spread),
			Verify: fmt.Sprintf("the softirq share of %s falls below %s", c.name(p), analysis.Percent(planned)),
			NotIf:  "it is a single flow: all packets of a connection go to one core",
		}},
	}
	if c.drops(p) {
		f.Summary += fmt.Sprintf("; it drops %s of them", analysis.Percent(c.share()))
	}
	return f
}

// overflowing is the finding about a CPU whose backlog is too short for bursts, or
// that has no time for them and no other core to help.
func (c core) overflowing(p *analysis.Pass, hot bool) analysis.Finding {
	const counted = 0.9
	f := analysis.Finding{
		Cause: drops, Severity: analysis.Warning, Confidence: counted, Impact: min(1, c.share()), Subject: c.id,
		Summary: fmt.Sprintf("%s drops %s of the received packets (%.0f per second): its backlog is full", c.name(p), analysis.Percent(c.share()), c.dropped),
		Evidence: append([]analysis.Evidence{
			{Metric: catalog.SoftnetDropped, Label: "share of packets dropped", Value: c.share(), Unit: observe.Ratio, Bound: analysis.Bound(p.Param(dropShare))},
			{Metric: catalog.CPUSoftIRQ, Label: "share of the core", Value: c.softirq, Unit: observe.Ratio, Bound: analysis.Bound(p.Param(softirqShare))},
		}, c.evidence()...),
		Recommendations: []analysis.Recommendation{c.spread(p)},
	}
	if hot {
		f.Recommendations = []analysis.Recommendation{c.addNodes(p)}
	}
	return f
}

// spread recommends to distribute bursts over the backlogs of more cores, each of
// which takes as much as this one did.
func (c core) spread(p *analysis.Pass) analysis.Recommendation {
	to := max(2, min(math.Ceil(1/(1-c.share())), p.CPUs()))
	return analysis.Recommendation{
		Verb: analysis.SpreadInterrupts, Quantity: &analysis.Estimate{Value: to, Low: analysis.Bound(2), Unit: "cores"},
		Action: fmt.Sprintf("Spread packets over %.0f cores (ethtool -L, or /sys/class/net/*/queues/*/rps_cpus), or %s", to, c.longer(p)),
		Verify: fmt.Sprintf("headroom.cpu.softnet.dropped of %s stops growing", c.name(p)),
		Risk:   "packets in a longer queue use memory and are delayed",
		NotIf:  "it is a single flow: all packets of a connection go to one core, and only a longer queue helps",
	}
}

// longer returns the backlog that holds a burst of which this much was dropped.
func (c core) longer(p *analysis.Pass) string {
	const byDefault = 1000 // netdev_max_backlog in net/core/dev.c
	node, _ := p.Node()
	if limit, known := p.Last(catalog.SoftnetLimit, node); known {
		return fmt.Sprintf("raise net.core.netdev_max_backlog from %.0f to %.0f", limit, math.Ceil(limit/(1-c.share())))
	}
	return fmt.Sprintf("raise net.core.netdev_max_backlog (%d by default) %.1f times", byDefault, 1/(1-c.share()))
}

// addNodes recommends more nodes for a host whose cores are all in use.
func (c core) addNodes(p *analysis.Pass) analysis.Recommendation {
	more := max(1, math.Ceil(c.softirq/(1-c.share())/planned)-1)
	return analysis.Recommendation{
		Verb: analysis.AddNodes, Quantity: &analysis.Estimate{Value: more, Low: analysis.Bound(1), Unit: "nodes"},
		Action: fmt.Sprintf("Add %s to share the packets: %s is in softirq for %s of its time, and no other core is half idle", analysis.Number(more, "node", "nodes"), c.name(p), analysis.Percent(c.softirq)),
		Verify: fmt.Sprintf("headroom.cpu.softnet.dropped of %s stops growing", c.name(p)),
		NotIf:  "another process on the host can give up its CPU",
	}
}
