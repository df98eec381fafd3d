// SPDX-License-Identifier: Apache-2.0

package capacity

import (
	"iter"
	"math"
	"slices"
)

// spans are the windows of a climb as multiples of the shortest. It must be found in
// three consecutive evaluations, at intervals of a part of the window: ten minutes for a
// window of an hour and a half, half an hour for six hours, an hour for a day.
var spans = []struct{ times, looks float64 }{{1, 9}, {4, 12}, {16, 24}}

const (
	inARow = 3
	// covered is the share of a window that must be known.
	covered = 0.9
	// farthest is how many windows ahead a climb is forecast.
	farthest = 12
	// oldAge is the minimum age of a climbing process, in windows of at most two hours.
	oldAge, longYouth = 2, 2 * 3600
	// consumedShare is the minimum share of the initial distance to the limit that a
	// climb must have consumed.
	consumedShare = 1.0 / 3
)

// A Past returns the history between two points in time, in seconds ago: times, 0 for now
// and negative before, and values.
type Past func(from, to float64) (at, values []float64)

// Climbs yields the climbs towards a limit in windows of three lengths: base, and four
// and sixteen times that.
func Climbs(past Past, base, limit float64) iter.Seq[Climb] {
	return func(yield func(Climb) bool) {
		for _, s := range spans {
			span := s.times * base
			if c, ok := climbing(past, span, span/s.looks, limit); ok && !yield(c) {
				return
			}
		}
	}
}

// climbing returns the newest climb if there was one in each of the last evaluations.
func climbing(past Past, span, apart, limit float64) (newest Climb, ok bool) {
	for look := range inARow {
		ago := float64(look) * apart
		at, values := past(ago+span, ago)
		if len(at) == 0 || at[len(at)-1]-at[0] < covered*span {
			return Climb{}, false
		}
		c, ok := ClimbOf(at, values, limit)
		if !ok {
			return Climb{}, false
		}
		if look == 0 {
			newest = c
		}
	}
	return newest, true
}

// Lasts reports whether a climb is unusual for the process and close to the limit: it has
// consumed a third of the initial distance to the limit, does not slow down, and is
// forecast to reach the limit within twelve windows. at and values are the whole history
// of the process.
func (c Climb) Lasts(at, values []float64, limit float64) bool {
	if len(values) == 0 || c.Until(limit).At > farthest*c.Span {
		return false
	}
	begin := slices.Min(values[:len(values)/20+1])
	return c.Level-begin >= consumedShare*(limit-begin) && !flattens(at, values)
}

// GrownUp reports whether a process of that age has finished its startup.
func (c Climb) GrownUp(age float64) bool { return age >= oldAge*min(c.Span, longYouth) }

// flattens reports whether the growth over the whole history slows down: its second half
// is less than seven tenths as steep as its first, as with a cache that fills up.
func flattens(at, values []float64) bool {
	const slowed = 0.7
	at, values = thin(at, values)
	n := len(values)
	early, ok1 := TrendOf(at[:n/2], values[:n/2])
	late, ok2 := TrendOf(at[n/2:], values[n/2:])
	return ok1 && ok2 && early.Slope > 0 && late.Slope < slowed*early.Slope
}

// HighestYet reports whether the envelope is above the minima of half hours before the
// window, by half of its growth in the window: if sawteeth and days repeat, each peak is
// as high as the one before. known is false without history from before the window.
func (c Climb) HighestYet(at, values []float64) (highest, known bool) {
	const (
		halfHour = 1800
		enough   = 2
		clearly  = 0.5
	)
	part := min(halfHour, c.Span/3)
	lows := make(map[int]float64)
	for i, t := range at {
		if t >= at[len(at)-1]-c.Span {
			break
		}
		n := int(t / part)
		if low, ok := lows[n]; !ok || values[i] < low {
			lows[n] = values[i]
		}
	}
	top := math.Inf(-1)
	for _, low := range lows {
		top = max(top, low)
	}
	return c.Level > top+clearly*c.Gain, len(lows) >= enough
}
