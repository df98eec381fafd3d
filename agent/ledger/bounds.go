// SPDX-License-Identifier: Apache-2.0

package ledger

import "github.com/headroom-project/headroom/agent/observe"

// bounds are how many series a metric may have, by what it is about. A node of
// Kubernetes has at most 250 pods, of which most have a container or two.
var bounds = map[observe.EntityKind]int{
	observe.Node:     1,
	observe.CPU:      1024, // more than machines have
	observe.Cgroup:   1024, // 250 pods, their containers, the units of the host
	observe.Process:  512,  // programs in services and containers
	observe.Loop:     256,  // programs that have one
	observe.Listener: 256,
	observe.Disk:     128,
	observe.NIC:      512, // each pod has one on the host
	observe.Upstream: 128,
}

const (
	// maxHistograms bounds a distribution, which is some 20 series for scrapers
	// that know no native histograms.
	maxHistograms = 128
	// maxPairs bounds metrics about two entities.
	maxPairs = 512
	// maxGroups bounds the label sets that are remembered, of all kinds. Each
	// is some hundred bytes.
	maxGroups = 8192
)

// Bound is how many series m has at most, Other not counted.
func Bound(m *observe.Metric) int {
	switch m.Kind {
	case observe.Histogram:
		return maxHistograms
	case observe.PairCounter:
		return maxPairs
	default:
		return bounds[m.About]
	}
}
