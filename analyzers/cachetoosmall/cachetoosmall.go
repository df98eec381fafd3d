// SPDX-License-Identifier: Apache-2.0

// Package cachetoosmall finds Redis servers that evict keys which clients ask for again,
// and says how much memory keeps them, and what that wins.
package cachetoosmall

import (
	_ "embed"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

//go:embed doc.md
var doc string

// Analyzer is cache-too-small.
var Analyzer = &analysis.Analyzer{
	Name:     "cache-too-small",
	Title:    "Does a Redis evict keys that are read again, and how much memory keeps them?",
	Doc:      doc,
	Category: analysis.CategoryCaching,
	Causes:   []string{workingSet},
	Verbs:    []analysis.Verb{analysis.RaiseMaxmemory},
	Needs:    []*observe.Metric{catalog.RedisEvicted, catalog.RedisReuse},
	Wants: []*observe.Metric{catalog.RedisHits, catalog.RedisMisses, catalog.RedisKeyCount, catalog.RedisMemory, catalog.RedisData, catalog.RedisLimit,
		catalog.RedisFirst, catalog.RedisSeen, catalog.RedisCurve, catalog.RedisReads, catalog.CgroupMemoryLimit, catalog.CgroupMemoryUsage, catalog.MemoryTotal, catalog.HostMemoryAvailable},
	Params:     []*analysis.Param{warnRate, warnGain, leastRemoved, largestDifference, usableRoom},
	MinSeconds: 30,
	Slow:       true,
	Run:        facts.Run(run),
}

const workingSet = "working-set-exceeds-maxmemory"

var (
	warnRate = &analysis.Param{Name: "warn-rate", Unit: observe.Count, Default: 10, Enters: true,
		Doc: "Misses per second that more memory avoids, from which they are reported: each is a query to what the cache is in front of, which takes about 10 ms where a cache is worth its work, so that a tenth of a core or connection is busy with them."}
	warnGain = &analysis.Param{Name: "warn-gain", Unit: observe.Ratio, Default: 0.05, Enters: true,
		Doc: "Gain in hit ratio from which more memory is recommended: the curve of one half hour predicts the hit ratio of the next one within 4 %."}
	leastRemoved = &analysis.Param{Name: "least-removed", Unit: observe.Ratio, Default: 0.25,
		Doc: "Share of the misses that more memory must avoid. Below it the reads are spread over far more keys than memory can hold, and no size that fits helps much."}
	largestDifference = &analysis.Param{Name: "largest-difference", Unit: observe.Ratio, Default: 0.05,
		Doc: "Difference between the hit ratio that Redis counts and that of the curve at its present number of keys, up to which the curve is believed. It is larger where keys expire before they are evicted, or the policy keeps other keys than the most recent ones."}
	usableRoom = &analysis.Param{Name: "usable-room", Unit: observe.Ratio, Default: 0.5,
		Doc: "Share of the memory left on the host, or below the limit of the container, that Redis may take: a save in the background can copy as much again."}
)

// run judges each Redis that evicts keys.
func run(p *facts.Pass) []analysis.Finding {
	var fs []analysis.Finding
	for id := range p.Entities(catalog.RedisEvicted) {
		if p.IncreaseOr0(catalog.RedisEvicted, id) == 0 {
			p.Checked()
			continue
		}
		v, ok := look(p, id)
		if !ok {
			continue
		}
		p.Checked()
		if a, ok := v.advise(p); ok {
			fs = append(fs, v.finding(p, a))
		}
	}
	return fs
}
