// SPDX-License-Identifier: Apache-2.0

// Package nicsaturated finds network interfaces at the speed of their link,
// interfaces and CPUs that drop packets, and single CPUs that process the packets
// of all.
package nicsaturated

import (
	_ "embed"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

//go:embed doc.md
var doc string

// Analyzer is nic-saturated.
var Analyzer = &analysis.Analyzer{
	Name:     "nic-saturated",
	Title:    "Is a network interface at its limit?",
	Doc:      doc,
	Category: analysis.CategoryCapacity,
	Causes:   []string{link, drops, oneCore},
	Verbs:    []analysis.Verb{analysis.AddNodes, analysis.SpreadInterrupts},
	Needs:    []*observe.Metric{catalog.NICSent, catalog.NICReceived},
	Wants: []*observe.Metric{catalog.NICSpeed, catalog.NICShapedTo, catalog.NICPacketsIn, catalog.NICPacketsOut, catalog.NICDroppedIn,
		catalog.NICDroppedOut, catalog.NICQueueDropped, catalog.CPUSoftIRQ, catalog.CPUIdle, catalog.CPUIOWait, catalog.SoftnetPackets,
		catalog.SoftnetDropped, catalog.SoftnetSqueezed, catalog.SoftnetLimit},
	Params:     []*analysis.Param{warnUse, criticalUse, dropShare, dropRate, dropReadings, ringRate, softirqShare},
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
		Doc: "p95 of the throughput per second, as a share of the speed: within such a second bursts fill the link, and if a node fails its neighbour's share doubles."}
	criticalUse = &analysis.Param{Name: "critical-use", Unit: observe.Ratio, Default: 0.9,
		Doc: "Share of the speed at which Netdata warns: headers and gaps between frames take the rest."}
	dropShare = &analysis.Param{Name: "drop-share", Unit: observe.Ratio, Default: 0.02,
		Doc: "Share of the packets that were dropped (Netdata): at 2 % TCP sends 9 segments a round trip (Mathis: 1.22/√p)."}
	dropRate = &analysis.Param{Name: "drop-rate", Unit: "1/s", Default: 10,
		Doc: "Drops per second below which nothing is reported: an idle interface drops one or two frames per second of protocols that the host does not use (LLDP, spanning tree)."}
	dropReadings = &analysis.Param{Name: "drop-readings", Unit: observe.Ratio, Default: 0.5,
		Doc: "Share of the readings in which a CPU must have dropped packets: a single burst is resent and over, and a queue that is too short fills repeatedly."}
	ringRate = &analysis.Param{Name: "ring-rate", Unit: "1/s", Default: 1000,
		Doc: "Packets received per second from which drops on arrival can mean a full queue: a card has a ring of 256 entries or more, which lasts a quarter of a second at this rate. Below it they are frames that no protocol handles, which the kernel counts as dropped too."}
	softirqShare = &analysis.Param{Name: "softirq-share", Unit: observe.Ratio, Default: 0.9,
		Doc: "Share of a CPU's time in softirq from which it counts as full."}
)

func run(p *analysis.Pass) []analysis.Finding {
	var fs []analysis.Finding
	cpus := lookAtCPUs(p)
	for id := range p.Entities(catalog.NICSent) {
		p.Checked()
		c := look(p, id, cpus.dropped())
		if c.use >= p.Param(warnUse) {
			fs = append(fs, c.full(p))
		} else if c.share >= p.Param(dropShare) && c.dropped >= p.Param(dropRate) {
			fs = append(fs, c.dropping(p))
		}
	}
	return append(fs, cpus.findings(p)...)
}
