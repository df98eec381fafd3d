// SPDX-License-Identifier: Apache-2.0

package cachetoosmall

import (
	"fmt"
	"math"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

const (
	// errorOfCurve is that of the sample, and of Redis, which evicts the least recently used
	// of five keys instead of all.
	errorOfCurve = 0.02
	// wanted is the share of the hits that can be won for which memory is recommended: the
	// last ones cost the most.
	wanted = 0.9
	// steps is the number of sizes per factor of two that are compared.
	steps = 16
)

// shares are the shares of what can be won for which a size is shown.
var shares = []float64{0.8, 0.9, 0.95}

// A size is a larger cache.
type size struct {
	memory    float64 // whole MiB
	keys      float64
	hit       float64
	low, high float64
}

// An advice is what more memory wins.
type advice struct {
	size  size    // the recommended one
	sizes []size  // for shares
	knee  size    // where the curve begins to flatten
	most  float64 // the hit ratio that can be reached
}

// sizes returns larger caches, up to what is known and fits.
func (v *view) sizes(p *facts.Pass) (all []size) {
	now, _ := v.curve.At(v.keys)
	most := v.largest(p)
	for i := 1; ; i++ {
		s := size{memory: math.Ceil(v.limit*math.Exp2(float64(i)/steps)/(1<<20)) * (1 << 20)}
		fewer, more := v.fit(s.memory)
		low, _ := v.curve.At(fewer)
		high, known := v.curve.At(more)
		if s.memory > most || known < leastReads {
			return all
		}
		// What the curve says too much or too little now, it says of a larger cache, too:
		// but not more than that it has all.
		s.keys = (fewer + more) / 2
		s.hit = min(1, v.hit+max(0, (low+high)/2-now))
		s.low = max(0, min(s.hit, low)-(v.hit-v.low)-errorOfCurve)
		s.high = min(1, max(s.hit, high)+(v.high-v.hit)+errorOfCurve)
		all = append(all, s)
	}
}

// advise returns what more memory wins; ok is false if that is not worth it.
func (v *view) advise(p *facts.Pass) (a advice, ok bool) {
	all := v.sizes(p)
	if len(all) == 0 {
		return a, false
	}
	a.most = all[len(all)-1].hit
	for _, share := range shares {
		a.sizes = append(a.sizes, reach(all, v.hit+share*(a.most-v.hit)))
	}
	a.size, a.knee = reach(all, v.hit+wanted*(a.most-v.hit)), v.knee(all, a.sizes[len(a.sizes)-1])
	gain := a.size.hit - v.hit
	return a, gain >= p.Param(warnGain) && gain*v.reads >= p.Param(warnRate) && gain >= p.Param(leastRemoved)*(1-v.hit)
}

// reach returns the smallest size with a hit ratio.
func reach(all []size, hit float64) size {
	for _, s := range all {
		if s.hit >= hit {
			return s
		}
	}
	return all[len(all)-1]
}

// knee returns the size up to the last one where the curve is furthest above the line to
// it: more memory wins less from there on [Satopää, Kneedle, 2011].
func (v *view) knee(all []size, last size) size {
	best, above := last, 0.0
	for _, s := range all {
		if s.memory > last.memory {
			break
		}
		if d := (s.hit-v.hit)/(last.hit-v.hit) - (s.memory-v.limit)/(last.memory-v.limit); d > above {
			best, above = s, d
		}
	}
	return best
}

// measured is the confidence: the server counts, and the curve agrees with it.
const measured = 0.85

func (v *view) finding(p *facts.Pass, a advice) analysis.Finding {
	avoided := (a.size.hit - v.hit) * v.reads
	return analysis.Finding{
		Cause: workingSet, Severity: analysis.Warning, Confidence: measured, Impact: a.size.hit - v.hit, Subject: v.process,
		Summary: fmt.Sprintf("%s evicts %s keys per second and finds %s of the keys that are read: with %s instead of %s it would find %s, and %s fewer reads per second would miss",
			v.name, rate(v.evicted), analysis.Percent(v.hit), analysis.Bytes(a.size.memory), analysis.Bytes(v.limit), analysis.Percent(a.size.hit), rate(avoided)),
		Evidence:        v.evidence(p, a, avoided),
		Recommendations: []analysis.Recommendation{v.raise(p, a)},
	}
}

func (v *view) evidence(p *facts.Pass, a advice, avoided float64) []analysis.Evidence {
	e := []analysis.Evidence{
		{Metric: catalog.RedisHits, Label: "hit ratio", Value: v.hit, Unit: observe.Ratio},
		{Metric: catalog.RedisHits, Label: "hit ratio that can be reached", Value: a.most, Unit: observe.Ratio},
		{Metric: catalog.RedisMisses, Label: "avoidable misses per second", Value: avoided, Unit: observe.Count, Bound: analysis.Bound(p.Param(warnRate))},
		{Metric: catalog.RedisEvicted, Label: "evicted keys per second", Value: v.evicted, Unit: observe.Count},
		{Metric: catalog.RedisLimit, Label: "maxmemory", Value: v.limit, Unit: observe.Bytes},
		{Metric: catalog.RedisData, Label: "memory of a key", Value: v.data / v.keys, Unit: observe.Bytes},
		{Metric: catalog.RedisReuse, Label: "maxmemory at the knee of the curve", Value: a.knee.memory, Unit: observe.Bytes},
	}
	for i, share := range shares {
		e = append(e, analysis.Evidence{Metric: catalog.RedisReuse, Label: fmt.Sprintf("maxmemory for %s of what can be won", analysis.Percent(share)),
			Value: a.sizes[i].memory, Unit: observe.Bytes})
	}
	return e
}

func (v *view) raise(p *facts.Pass, a advice) analysis.Recommendation {
	s := a.size
	fill := (s.keys - v.keys) / (v.reads * (1 - (v.hit+s.hit)/2)) // each miss adds a key
	mib := func(s size) float64 { return s.memory / (1 << 20) }
	return analysis.Recommendation{
		Verb: analysis.RaiseMaxmemory,
		Quantity: &analysis.Estimate{Value: mib(s), Low: analysis.Bound(mib(a.sizes[0])),
			High: analysis.Bound(mib(a.sizes[len(a.sizes)-1])), Unit: "MiB"},
		Action: fmt.Sprintf("Raise maxmemory of %s from %s to %s (CONFIG SET maxmemory %.0fmb)", v.name, analysis.Bytes(v.limit), analysis.Bytes(s.memory), mib(s)),
		Verify: fmt.Sprintf("the hit ratio of %s is between %s and %s after misses have filled the memory (about %s)", v.name, analysis.Percent(s.low), analysis.Percent(s.high), analysis.Ahead(fill)),
		Risk:   v.risk(p, s),
		NotIf:  "clients do not store what they read after a miss, or read other keys tomorrow than today",
		Expect: []analysis.Expectation{{Metric: catalog.RedisHits, Label: "hit ratio", From: v.hit, To: s.hit, Low: analysis.Bound(s.low), High: analysis.Bound(s.high), Unit: observe.Ratio}},
	}
}

// risk says what the memory is taken from.
func (v *view) risk(p *facts.Pass, s size) string {
	room, ok := p.MemoryRoom(v.process)
	if !ok {
		return "Redis uses more memory than maxmemory while it saves"
	}
	return fmt.Sprintf("it takes %s of the %s that %s has left, and a save in the background up to as much again", analysis.Bytes(s.memory-v.used), analysis.Bytes(room.Left()), p.Name(room.Whose))
}

// rate formats a number per second.
func rate(n float64) string {
	if n < 9.95 {
		return fmt.Sprintf("%.1f", n)
	}
	return fmt.Sprintf("%.0f", n)
}
