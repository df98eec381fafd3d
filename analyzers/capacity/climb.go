// SPDX-License-Identifier: Apache-2.0

package capacity

import (
	"math"
	"slices"
)

// A Climb is growth, over minutes to days, of the envelope of minima: of the memory
// after garbage collections, or at times of low usage (docs/science.md, Memory growth).
type Climb struct {
	// Trend is the trend of the envelope, Gain its growth over the window.
	Trend
	Gain, Span float64
	// Level is the envelope at the end of the window.
	Level float64
	// Above are the 10th, 50th and 90th percentile of the height of peaks above the
	// envelope, because a peak reaches the limit first.
	Above [3]float64
}

const (
	// parts is the maximum number of points of an envelope, and leastParts the minimum:
	// half of the window.
	parts, leastParts = 24, 12
	// dropShare is the minimum depth of a drop, as a share of the range of the residuals.
	dropShare = 0.3
	// leastDrop is the same as a share of the limit.
	leastDrop = 0.008
	// gainShare is the least growth in a window, as a share of the limit, and
	// gainNoise in median absolute deviations.
	gainShare, gainNoise = 0.01, 3
	// surely is the Z above which a trend is significant. plainly is the growth in
	// deviations above which it is significant as well: the residuals of a nearly
	// straight line are autocorrelated, so that Z, whose variance is inflated for that,
	// would hide the most obvious leaks.
	surely, plainly = 2.6, 10
	// biggestJump is the share of the gain that one step may make up.
	biggestJump = 0.5
)

// ClimbOf returns the growth towards a limit that is that far above the last value.
func ClimbOf(at, values []float64, limit float64) (c Climb, ok bool) {
	if len(values) < parts || len(at) != len(values) {
		return Climb{}, false
	}
	if !higher(values, limit) {
		return Climb{}, false // the usual case: the rest takes a hundred times as long
	}
	c.Span = at[len(at)-1] - at[0]
	times, lows := envelope(at, values, DropDepth(at, values, limit))
	if len(lows) < leastParts || times[len(times)-1]-times[0] < c.Span/2 {
		return Climb{}, false
	}
	if c.Trend, ok = TrendOf(times, lows); !ok || c.Slope <= 0 {
		return Climb{}, false
	}
	c.Gain = c.Slope * c.Span
	noise := c.locate(at, times, lows)
	if c.Gain < max(gainShare*limit, gainNoise*noise) || c.Z <= surely && c.Gain < plainly*noise || !goesOn(times, lows, c.Gain) {
		return Climb{}, false
	}
	c.peaks(at, values)
	return c, true
}

// higher reports whether the minimum of the last third is above that of the first by at
// least the minimum growth of a climb.
func higher(values []float64, limit float64) bool {
	third := len(values) / 3
	return slices.Min(values[len(values)-third:])-slices.Min(values[:third]) >= 2*thirdShare/3*gainShare*limit
}

// locate sets where the line of the envelope ends, and returns the median absolute
// deviation of its points.
func (c *Climb) locate(at, times, lows []float64) (noise float64) {
	end := at[len(at)-1]
	var rest []float64
	for i, t := range times {
		rest = append(rest, lows[i]-c.Slope*(t-end))
	}
	slices.Sort(rest)
	c.Level = median(rest)
	for i := range rest {
		rest[i] = math.Abs(rest[i] - c.Level)
	}
	slices.Sort(rest)
	return median(rest)
}

// goesOn reports whether an envelope rises in all thirds, not in a single step, and in
// its second half at least half as fast as in its first.
func goesOn(times, lows []float64, gain float64) bool {
	n := len(lows)
	third := n / 3
	first, second, last := slices.Min(lows[:third]), slices.Min(lows[third:n-third]), slices.Min(lows[n-third:])
	step := thirdShare * gain / 3
	if second-first < step || last-second < step || biggestStep(lows) >= biggestJump*gain {
		return false
	}
	early, ok1 := TrendOf(times[:n/2], lows[:n/2])
	late, ok2 := TrendOf(times[n/2:], lows[n/2:])
	return ok1 && ok2 && late.Slope >= lateShare*early.Slope
}

// DropDepth returns the depth above which a fall is not noise.
func DropDepth(at, values []float64, limit float64) float64 {
	times, some := thin(at, values)
	slope := 0.0
	if t, ok := TrendOf(times, some); ok {
		slope = t.Slope
	}
	rest := make([]float64, len(some))
	for i := range some {
		rest[i] = some[i] - slope*times[i]
	}
	slices.Sort(rest)
	return max(dropShare*(quantile(rest, 0.95)-quantile(rest, 0.05)), leastDrop*limit)
}

// mostPoints limits the number of points for calculations with quadratic time.
const mostPoints = 60

// thin reduces the points to evenly spaced ones.
func thin(at, values []float64) (times, some []float64) {
	every := (len(values) + mostPoints - 1) / mostPoints
	for i := 0; i < len(values); i += max(1, every) {
		times, some = append(times, at[i]), append(some, values[i])
	}
	return times, some
}

// envelope returns, for each part of the window, the lower quartile of the minima after
// drops if there are enough of them, otherwise the 5th percentile of all values.
func envelope(at, values []float64, depth float64) (times, lows []float64) {
	floors := Drops(at, values, depth)
	ends, bottoms := make([]float64, len(floors)), make([]float64, len(floors))
	for i, f := range floors {
		ends[i], bottoms[i] = f.At, f.Value
	}
	begin, span := at[0], at[len(at)-1]-at[0]
	if times, lows = lowOf(ends, bottoms, begin, span, 0.25); len(lows) >= leastParts {
		return times, lows
	}
	return lowOf(at, values, begin, span, 0.05)
}

// lowOf returns a low quantile of each part of a window, at the mean of the times.
func lowOf(at, values []float64, begin, span, share float64) (times, lows []float64) {
	var in [parts][]float64
	var when [parts]float64
	for i, v := range values {
		p := min(parts-1, int(parts*(at[i]-begin)/span))
		in[p], when[p] = append(in[p], v), when[p]+at[i]
	}
	for p, part := range in {
		if len(part) > 0 {
			times, lows = append(times, when[p]/float64(len(part))), append(lows, lowest(part, share))
		}
	}
	return times, lows
}

func lowest(values []float64, share float64) float64 {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return quantile(sorted, share)
}

// quantile returns a quantile of sorted values, which must not be empty.
func quantile(sorted []float64, q float64) float64 {
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// A Floor is the lowest value after a drop.
type Floor struct{ At, Value float64 }

// Drops returns the floors after falls of more than depth.
func Drops(at, values []float64, depth float64) []Floor {
	var floors []Floor
	if len(values) == 0 {
		return nil
	}
	top, low := values[0], Floor{}
	falling := false
	for i, v := range values {
		switch {
		case falling && v < low.Value:
			low = Floor{at[i], v}
		case falling && v > low.Value+depth/2:
			floors, falling, top = append(floors, low), false, v
		case !falling && v < top-depth:
			falling, low = true, Floor{at[i], v}
		case !falling:
			top = max(top, v)
		}
	}
	if falling {
		floors = append(floors, low)
	}
	return floors
}

// peaks sets how far the peaks of each part are above the envelope.
func (c *Climb) peaks(at, values []float64) {
	end, begin := at[len(at)-1], at[0]
	tops := make([][]float64, parts)
	for i, v := range values {
		p := min(parts-1, int(parts*(at[i]-begin)/c.Span))
		tops[p] = append(tops[p], v-(c.Level+c.Slope*(at[i]-end)))
	}
	var above []float64
	for _, part := range tops {
		if len(part) > 0 {
			above = append(above, max(0, lowest(part, 0.99)))
		}
	}
	slices.Sort(above)
	for i, q := range []float64{0.1, 0.5, 0.9} {
		c.Above[i] = quantile(above, q)
	}
}

// widened is the factor by which the interval is widened: the
// prototypes' interval then held 95 % of the cases (docs/science.md, Memory growth).
const widened = 1.3

// Until returns when a peak reaches a limit, with its interval.
func (c Climb) Until(limit float64) Duration {
	left := limit - c.Level
	d := Duration{At: max(0, (left-c.Above[1])/c.Slope)}
	soon := max(0, (left-c.Above[2])/(widened*c.High))
	soon = min(soon, d.At)
	d.Low = &soon
	if c.Low > 0 {
		late := max(d.At, (left-c.Above[0])*widened/c.Low)
		d.High = &late
	}
	return d
}

// UsedUp returns when the remainder is used up: by the growth over hours if there is one,
// otherwise by that in the window. It is nil if that is no growth.
func UsedUp(climb *Climb, growth Growth, left float64) *Duration {
	if climb != nil {
		d := climb.Until(climb.Level + left)
		return &d
	}
	if d, ok := growth.Until(left); ok {
		return &d
	}
	return nil
}

// WithoutLoad subtracts from values the part that follows a load, such as connections,
// known at the same times. It fits the differences from one part of the window to the
// next, minus their median, so that a trend of both is not attributed to the load. If
// the load explains less than half of the differences, values stay unchanged.
func WithoutLoad(at, values, load []float64) []float64 {
	if len(values) < 2*parts || len(load) != len(values) {
		return values
	}
	dv, dl := centred(differences(at, values)), centred(differences(at, load))
	var vv, ll, vl float64
	for i := range dv {
		vv, ll, vl = vv+dv[i]*dv[i], ll+dl[i]*dl[i], vl+dv[i]*dl[i]
	}
	const half = 0.5
	if vv == 0 || ll == 0 || vl <= 0 || vl*vl < half*vv*ll {
		return values
	}
	rest := make([]float64, len(values))
	last := load[len(load)-1]
	for i := range values {
		rest[i] = values[i] - vl/ll*(load[i]-last)
	}
	return rest
}

// differences returns the differences of the means of consecutive parts of a window.
func differences(at, values []float64) []float64 {
	begin, span := at[0], at[len(at)-1]-at[0]
	sums, counts := make([]float64, parts), make([]float64, parts)
	for i, v := range values {
		p := min(parts-1, int(parts*(at[i]-begin)/span))
		sums[p], counts[p] = sums[p]+v, counts[p]+1
	}
	var out []float64
	for p := 1; p < parts; p++ {
		if counts[p-1] > 0 && counts[p] > 0 {
			out = append(out, sums[p]/counts[p]-sums[p-1]/counts[p-1])
		} else {
			out = append(out, 0)
		}
	}
	return out
}

func centred(values []float64) []float64 {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	m := median(sorted)
	for i := range values {
		values[i] -= m
	}
	return values
}
