// SPDX-License-Identifier: Apache-2.0

package fdexhaustion

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// host evaluates the table of open files that all processes share.
func host(p *facts.Pass) []analysis.Finding {
	node, ok := p.Node()
	if !ok {
		return nil
	}
	count, counted := p.Last(catalog.HostFDs, node)
	limit, limited := p.Last(catalog.HostFDLimit, node)
	if !counted || !limited || limit <= 0 {
		return nil
	}
	p.Checked()
	_, peak, _ := p.Range(catalog.HostFDs, node)
	share := peak / limit
	if share < p.Param(warnShare) {
		return nil
	}
	severity := analysis.Warning
	if share >= p.Param(criticalShare) {
		severity = analysis.Critical
	}
	n := math.Exp2(math.Ceil(math.Log2(room * peak)))
	return []analysis.Finding{{
		Cause: load, Severity: severity, Confidence: working, Impact: share / 2, Subject: node,
		Summary: fmt.Sprintf("%s has %s left for all processes: %.0f of %.0f are in use", p.Name(node),
			analysis.Number(max(0, limit-peak), "open file", "open files"), count, limit),
		Evidence: []analysis.Evidence{
			{Metric: catalog.HostFDs, Label: "share of fs.file-max", Value: share, Unit: observe.Ratio, Bound: analysis.Bound(p.Param(warnShare))},
			{Metric: catalog.HostFDs, Value: count, Unit: observe.Descriptors},
			{Metric: catalog.HostFDLimit, Label: "fs.file-max", Value: limit, Unit: observe.Descriptors},
		},
		Blame: holders(p, count),
		Recommendations: []analysis.Recommendation{{
			Verb: analysis.RaiseFDLimit, Quantity: &analysis.Estimate{Value: n, Low: analysis.Bound(math.Ceil(peak / p.Param(warnShare))), Unit: "open files"},
			Action: fmt.Sprintf("Raise fs.file-max from %.0f to %.0f (sysctl -w fs.file-max=%.0f)", limit, n, n),
			Verify: fmt.Sprintf("headroom.host.file_descriptor.count stays below %s of fs.file-max", analysis.Percent(p.Param(warnShare))),
			Risk:   "an open file takes about a kilobyte of kernel memory",
			NotIf:  "one process holds most of them and leaks: then fix that process",
			Expect: []analysis.Expectation{{Metric: catalog.HostFDs, Label: "share of fs.file-max", From: share, To: peak / n, Unit: observe.Ratio}},
		}},
	}}
}

const (
	// mostHolders is the maximum number of processes named, leastHolder their minimum
	// share.
	mostHolders = 5
	leastHolder = 0.05
)

// holders returns the processes with most of the host's open files.
func holders(p *facts.Pass, all float64) []analysis.Blame {
	var blame []analysis.Blame
	for process := range p.Entities(catalog.ProcessFDs) {
		n, _ := p.Last(catalog.ProcessFDs, process)
		if n >= leastHolder*all {
			blame = append(blame, analysis.Blame{Subject: process, Share: min(1, n/all)})
		}
	}
	slices.SortFunc(blame, func(a, b analysis.Blame) int {
		return cmp.Or(cmp.Compare(b.Share, a.Share), cmp.Compare(a.Subject, b.Subject))
	})
	return blame[:min(mostHolders, len(blame))]
}
