// SPDX-License-Identifier: Apache-2.0

package ledger

import "github.com/headroom-project/headroom/agent/observe"

const (
	// MaxSeries bounds the series of all metrics together. With those of findings,
	// of the agent itself and of Other there are less than 10,000.
	MaxSeries = 9000
	// classicSeries is what a distribution is for scrapers that know no native
	// histograms: nine buckets, +Inf, sum and count.
	classicSeries = 12
	// maxGroups bounds the label sets of one family that are remembered. Each is
	// some hundred bytes.
	maxGroups = 8192
	// maxView bounds the groups of a family that ReadAll hands out.
	maxView = 1024
)

// A share is what a family of label sets may take of MaxSeries.
type share struct {
	// series are guaranteed: what other families leave is added.
	series int
	// each is how many series a label set has, as a rule: some metrics have no
	// value for most of them.
	each int
}

// shares are those of label sets by the kind of entity that they are about. The
// guarantees add up to less than MaxSeries.
var shares = map[observe.EntityKind]share{
	observe.Node:     {series: 32, each: 32},
	observe.CPU:      {series: 1056, each: 11}, // 96 CPUs
	observe.Cgroup:   {series: 2900, each: 24}, // pods and their containers, units of the host
	observe.Process:  {series: 2600, each: 20}, // programs in services and containers
	observe.Loop:     {series: 900, each: 24},  // programs that have one
	observe.Listener: {series: 300, each: 3},
	observe.Disk:     {series: 250, each: 10},
	observe.NIC:      {series: 520, each: 13}, // each pod has one on the host
	observe.Upstream: {series: 120, each: 3},
}

// pairShare is that of each metric about two entities.
var pairShare = share{series: 100, each: 1}

func shareOf(m *observe.Metric) share {
	if m.Kind == observe.PairCounter {
		return pairShare
	}
	return shares[m.About]
}

// Guaranteed is how many label sets m has series for on any host, Other not counted;
// there are more where other metrics have less than their share.
func Guaranteed(m *observe.Metric) int {
	s := shareOf(m)
	return s.series / s.each
}
