// SPDX-License-Identifier: Apache-2.0

package capacity

import (
	"iter"
	"math"
	"slices"
)

// spans are the windows of a climb as multiples of the shortest. It must be there
// in three looks in a row, which are a part of the window apart: with a window of an
// hour and a half ten minutes, of six hours half an hour, of a day an hour.
var spans = []struct{ times, looks float64 }{{1, 9}, {4, 12}, {16, 24}}

const (
	inARow = 3
	// covered is the share of a window that must be known.
	covered = 0.9
	// farthest is how many windows ahead a climb is foretold.
	farthest = 12
	// oldAge is how many windows, of two hours at the most, what climbs must be old.
	oldAge, longYouth = 2, 2 * 3600
	// consumedShare is how much of the room since its beginning a climb must have
	// taken.
	consumedShare = 1.0 / 3
)

// A Past returns what is remembered from so many seconds ago to so many: times, 0
// for now and negative before, and values.
type Past func(from, to float64) (at, values []float64)

// Climbs yields what climbs towards a limit in windows of three lengths, base and
// four and sixteen times that.
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

// climbing holds of what climbed in each of the last looks.
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

// Lasts reports whether a climb is no habit of a life and near enough to its end:
// it took a third of the room that there was in the beginning, does not slow down,
// and is foretold for no longer than twelve windows. at and values are the life.
func (c Climb) Lasts(at, values []float64, limit float64) bool {
	if len(values) == 0 || c.Until(limit).At > farthest*c.Span {
		return false
	}
	begin := slices.Min(values[:len(values)/20+1])
	return c.Level-begin >= consumedShare*(limit-begin) && !flattens(at, values)
}

// GrownUp reports whether what is so old is old enough to have started up.
func (c Climb) GrownUp(age float64) bool { return age >= oldAge*min(c.Span, longYouth) }

// flattens reports whether growth of a whole life slows down: its second half is
// less than seven tenths as steep as its first. What warms up or fills does.
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
