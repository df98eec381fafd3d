// SPDX-License-Identifier: Apache-2.0

package ledger

import "github.com/headroom-project/headroom/agent/observe"

const (
	// MaxSeries is the maximum number of series of all metrics together. Findings, the
	// agent's own metrics and Other add to it; the sum stays below 10,000.
	MaxSeries = 9000
	// maxGroups is the maximum number of label sets kept for one family. Each takes a
	// few hundred bytes.
	maxGroups = 8192
	// maxView is the maximum number of groups of a family that ReadAll returns.
	maxView = 1024
)

// classicSeries returns the number of series that a distribution has for scrapers without
// native histograms: its coarse buckets, +Inf, sum and count.
func classicSeries(m *observe.Metric) int {
	per := observe.Coarse(m.Bounds)
	return (len(m.Bounds)+per-1)/per + 3
}

// A share is the part of MaxSeries that a family of label sets may use.
type share struct {
	// series is the guaranteed number; series that other families leave unused are
	// added.
	series int
	// each is the typical number of series of a label set: some metrics have no value
	// for most of them.
	each int
}

// shares holds the share of each kind of entity. The guarantees add up to less than
// MaxSeries.
var shares = map[observe.EntityKind]share{
	observe.Node:       {series: 32, each: 32},
	observe.CPU:        {series: 1056, each: 11}, // 96 CPUs
	observe.Cgroup:     {series: 2900, each: 26}, // pods and their containers, units of the host
	observe.Process:    {series: 2420, each: 30}, // programs in services and containers
	observe.Loop:       {series: 684, each: 24},  // programs that have one
	observe.Listener:   {series: 300, each: 3},
	observe.Disk:       {series: 200, each: 10},
	observe.NIC:        {series: 468, each: 13}, // each pod has one on the host
	observe.Filesystem: {series: 120, each: 6},
	observe.Upstream:   {series: 120, each: 3},
	observe.Queue:      {series: 120, each: 10},
	observe.Cache:      {series: 78, each: 13},  // programs that are a Redis
	observe.Client:     {series: 140, each: 28}, // programs that call a database
}

// pairShare is the share of each metric about a pair of entities.
var pairShare = share{series: 100, each: 1}

func shareOf(m *observe.Metric) share {
	if m.Kind == observe.PairCounter {
		return pairShare
	}
	return shares[m.About]
}

// Guaranteed returns the number of label sets for which m has series on any host,
// without Other. m has more where other metrics use less than their share.
func Guaranteed(m *observe.Metric) int {
	s := shareOf(m)
	return s.series / s.each
}
