// SPDX-License-Identifier: Apache-2.0

package cachetoosmall

import (
	"fmt"
	"math"
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/capacity"
	"github.com/headroom-project/headroom/analyzers/facts"
)

const (
	// leastReads is the number of reads from which a share of them is known within 1 %.
	leastReads = 10_000
	// sameReads is how far the keys that the probe saw being read may be from those that
	// Redis counts.
	sameReads = 0.1
	// leastBlocks is the number of readings from which their hit ratios are an interval.
	leastBlocks = 4
	// margin is the memory of a hash table that has just doubled, as a share of the data.
	margin = 1.05
)

// evictsByUse are the policies that keep what was used: the curve is that of an LRU cache.
var evictsByUse = []string{"allkeys-lru", "allkeys-lfu", "volatile-lru", "volatile-lfu"}

// A view is a Redis that evicts keys.
type view struct {
	id, process observe.ID
	name        string
	keys        float64
	used, data  float64 // bytes
	limit       float64
	hit         float64 // the hit ratio that Redis counts
	low, high   float64 // of a single reading
	reads       float64 // per second
	evicted     float64 // per second
	policy      string
	curve       *capacity.MissRatio
}

// look returns what is known of a Redis. ok is false if that is too little for a verdict.
func look(p *facts.Pass, id observe.ID) (v *view, ok bool) {
	v = &view{id: id, policy: p.Attr(id, catalog.AttrPolicy)}
	if v.process, ok = p.Index.Ancestor(id, observe.Process); !ok {
		return nil, false
	}
	v.name = p.Name(v.process)
	level := func(m *observe.Metric) float64 {
		value, _ := p.Last(m, id)
		return value
	}
	v.keys, v.used, v.data, v.limit = level(catalog.RedisKeyCount), level(catalog.RedisMemory), level(catalog.RedisData), level(catalog.RedisLimit)
	v.evicted = perSecond(p, catalog.RedisEvicted, id)
	if v.keys < 1 || v.limit <= 0 || v.data <= 0 {
		return nil, false
	}
	if !slices.Contains(evictsByUse, v.policy) {
		p.Skip(fmt.Sprintf("%s evicts keys by the policy %s: what more memory wins is not known", v.name, v.policy))
		return nil, false
	}
	ok = v.count(p) && v.trace(p)
	return v, ok
}

// count reads the hit ratio, and its range over the readings.
func (v *view) count(p *facts.Pass) bool {
	hits, misses := p.IncreaseOr0(catalog.RedisHits, v.id), p.IncreaseOr0(catalog.RedisMisses, v.id)
	if hits+misses < leastReads {
		return false
	}
	v.hit = hits / (hits + misses)
	v.reads = perSecond(p, catalog.RedisHits, v.id) + perSecond(p, catalog.RedisMisses, v.id)
	h, m := p.Series(catalog.RedisHits, v.id), p.Series(catalog.RedisMisses, v.id)
	v.low, v.high = 1, 0
	blocks := 0
	for i := range min(len(h), len(m)) {
		if h[i]+m[i] > 0 {
			blocks++
			share := h[i] / (h[i] + m[i])
			v.low, v.high = min(v.low, share), max(v.high, share)
		}
	}
	return blocks >= leastBlocks
}

// perSecond returns the increase of a counter per second between its readings: those of
// INFO and of the sockets do not begin together.
func perSecond(p *facts.Pass, m *observe.Metric, id observe.ID) float64 {
	seconds := p.Observed(m, id)
	if seconds <= 0 {
		return 0
	}
	return p.IncreaseOr0(m, id) / seconds
}

// trace reads the curve, and compares it with what Redis counts.
func (v *view) trace(p *facts.Pass) bool {
	reuse, ok := p.Hist(catalog.RedisReuse, v.id)
	first, hasFirst := p.Hist(catalog.RedisFirst, v.id)
	reads := p.IncreaseOr0(catalog.RedisCurve, v.id)
	if !ok || !hasFirst || reads < leastReads {
		return false
	}
	if seen := perSecond(p, catalog.RedisReads, v.id); math.Abs(seen-v.reads) > sameReads*v.reads {
		p.Skip(fmt.Sprintf("of the reads that %s counts, many were not seen at its sockets: scripts, encrypted connections, or commands that it refuses", v.name))
		return false
	}
	seen, _ := p.Hist(catalog.RedisSeen, v.id)
	v.curve = &capacity.MissRatio{Bounds: catalog.RedisBounds, Again: reuse.Count, First: first.Count, Seen: seen.Count, Reads: reads}
	hit, known := v.curve.At(v.keys)
	if known < leastReads {
		return false
	}
	if math.Abs(v.hit-hit) > p.Param(largestDifference) {
		p.Skip(fmt.Sprintf("the hit ratio of %s is not explained by the order in which its keys are used (%s instead of %s): what more memory wins is not known",
			v.name, analysis.Percent(v.hit), analysis.Percent(hit)))
		return false
	}
	return true
}

// fit returns how many keys fit with a maxmemory, as an interval.
func (v *view) fit(memory float64) (fewer, more float64) {
	added := (memory - v.limit) * v.keys / v.data
	return v.keys + added/margin, v.keys + added
}

// largest returns the maxmemory for which there is memory on the host, or below the limit
// of the container.
func (v *view) largest(p *facts.Pass) float64 {
	room, ok := p.MemoryRoom(v.process)
	if !ok {
		return v.limit
	}
	return v.limit + p.Param(usableRoom)*room.Left()
}
