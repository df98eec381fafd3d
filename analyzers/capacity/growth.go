// SPDX-License-Identifier: Apache-2.0

package capacity

import "slices"

// A Growth is how a count moved while it was watched.
type Growth struct {
	Trend
	// Gain is what the slope adds from the first reading to the last.
	Gain float64
	// Falls is what was lost on the way, added up: a count that turns over
	// falls as often as it rises, one that leaks never does.
	Falls float64
	// Steady says that it rose through all of the time, at no less than half
	// of its first speed in the second half: a warm-up and a pool that fills
	// bend, a leak does not.
	Steady bool
}

const (
	// leastThird is the part of an even share of the gain that each third of
	// the time must bring (science.md §2.8).
	leastThird = 0.2
	// leastSecondHalf is the least of the first half's gain that the second
	// must repeat.
	leastSecondHalf = 0.5
	// mostFalls is the part of the gain that a steady growth may give back.
	mostFalls = 0.1
	// leastSteady is how many readings three thirds take, and the fewest whose
	// rise is no chance at Z = 2.6: five that all rise have Z = 2.2.
	leastSteady = 6
)

// GrowthOf returns how values moved over times, which rise; ok is false for
// fewer than four readings.
func GrowthOf(times, values []float64) (g Growth, ok bool) {
	g.Trend, ok = TrendOf(times, values)
	if !ok {
		return Growth{}, false
	}
	g.Gain = g.Slope * (times[g.N-1] - times[0])
	for i := 1; i < g.N; i++ {
		g.Falls += max(0, values[i-1]-values[i])
	}
	g.Steady = g.Gain > 0 && g.N >= leastSteady && g.Falls <= mostFalls*g.Gain && even(values[:g.N], g.Gain)
	return g, true
}

// even compares the least of each third, and what the halves gained.
func even(values []float64, gain float64) bool {
	n := len(values)
	for i := range 2 {
		before := slices.Min(values[i*n/3 : (i+1)*n/3])
		after := slices.Min(values[(i+1)*n/3 : (i+2)*n/3])
		if after-before < leastThird*gain/3 {
			return false
		}
	}
	first, second := values[n/2]-values[0], values[n-1]-values[n/2]
	return second >= leastSecondHalf*first
}

// A Duration is a time with its interval; an absent bound is not known.
type Duration struct {
	At        float64
	Low, High *float64
}

// Until is when what is left is used up at this growth; ok is false when it
// does not grow.
func (g Growth) Until(left float64) (d Duration, ok bool) {
	if g.Slope <= 0 {
		return Duration{}, false
	}
	d.At = left / g.Slope
	if g.High > 0 {
		soon := left / g.High
		d.Low = &soon
	}
	if g.Low > 0 {
		late := left / g.Low
		d.High = &late
	}
	return d, true
}
