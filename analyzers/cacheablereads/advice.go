// SPDX-License-Identifier: Apache-2.0

package cacheablereads

import (
	"math"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/analyzers/facts"
)

const (
	// errorOfCurve is that of the sample, and of the next minutes (docs/science.md).
	errorOfCurve = 0.02
	// wanted is the share of the hits that can be had for which a size is recommended: the
	// last ones cost the most.
	wanted = 0.9
	// steps is the number of sizes per factor of two that are compared.
	steps = 8
	// overhead is what a cache needs for an answer beside its bytes.
	overhead = 100
	// hitTime is the time of a hit, in seconds, of a cache across the network. One inside
	// of the process takes a few microseconds.
	hitTime = 0.0003
	// deviations are those of a share that is counted, for 95 % of the cases.
	deviations = 1.96
)

// shares are the shares of the hits that can be had for which a size is shown.
var shares = []float64{0.8, 0.9, 0.95}

// A size is a cache for a number of answers.
type size struct{ answers, hit, known float64 }

// An advice is what a cache wins.
type advice struct {
	size      size // the recommended one
	low, high float64
	sizes     []size  // for shares
	knee      size    // where the curve begins to flatten
	saved     float64 // time of reads, in seconds of the window
}

// sizes returns caches up to the largest one that is known and fits.
func (v *view) sizes(p *facts.Pass) (all []size) {
	most := math.Inf(1)
	if room, ok := p.MemoryRoom(v.process); ok {
		most = p.Param(usableRoom) * room.Left() / (v.size + overhead)
	}
	for i := 0; ; i++ {
		s := size{answers: math.Ceil(v.curve.Bounds[0] * math.Exp2(float64(i)/steps))}
		s.hit, s.known = v.curve.At(s.answers)
		if s.known < p.Param(leastReads) || s.answers > most {
			return all
		}
		all = append(all, s)
	}
}

// advise returns what a cache wins; ok is false if it is not worth it.
func (v *view) advise(p *facts.Pass) (a advice, ok bool) {
	all := v.sizes(p)
	if len(all) == 0 || all[len(all)-1].hit == 0 {
		return a, false
	}
	most := all[len(all)-1].hit
	for _, share := range shares {
		a.sizes = append(a.sizes, reach(all, share*most))
	}
	a.size, a.knee = reach(all, wanted*most), knee(all)
	below, above := v.spread(p)
	counted := deviations * math.Sqrt(a.size.hit*(1-a.size.hit)/a.size.known)
	a.low = max(0, a.size.hit-below-counted-errorOfCurve)
	a.high = min(1, a.size.hit+above+counted+errorOfCurve)
	a.saved = a.size.hit * v.reads * max(0, v.hitSeconds(a.size.answers)-hitTime)
	return a, a.low >= p.Param(leastHit) && v.matters(p, a.saved)
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

// knee returns the size where the curve is furthest above the line to its end: a larger
// cache wins less from there on [Satopää, Kneedle, 2011].
func knee(all []size) size {
	last := all[len(all)-1]
	best, above := last, 0.0
	for _, s := range all {
		if d := s.hit/last.hit - s.answers/last.answers; d > above {
			best, above = s, d
		}
	}
	return best
}

// blocks is the number of parts of the window whose hit ratios are compared.
const blocks = 4

// spread returns by how much the share of reads that repeat is lower and higher in a part
// of the window than in all parts. The first half is left out: in the beginning all reads
// are new.
func (v *view) spread(p *facts.Pass) (below, above float64) {
	fresh, followed := p.Series(catalog.ReadFresh, v.id), p.Series(catalog.ReadFollowed, v.id)
	n := min(len(fresh), len(followed))
	fresh, followed = fresh[len(fresh)-n/2:], followed[len(followed)-n/2:]
	n /= 2
	mean := sum(fresh) / max(sum(followed), 1)
	for i := range blocks {
		from, to := n*i/blocks, n*(i+1)/blocks
		if reads := sum(followed[from:to]); reads > 0 {
			share := sum(fresh[from:to]) / reads
			below, above = max(below, mean-share), max(above, share-mean)
		}
	}
	return below, above
}

func sum(values []float64) (n float64) {
	for _, v := range values {
		n += v
	}
	return n
}
