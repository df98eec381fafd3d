// SPDX-License-Identifier: Apache-2.0

package capacity

// A Growth is how a count moved while it was watched. What a Rise asks of
// memory holds for a count too; beyond that a count must hardly ever fall, where
// memory is noisy.
type Growth struct {
	Trend
	// Gain is what the slope adds from the first reading to the last.
	Gain float64
	// Steady says that it is a Rise, and that nothing to speak of was given
	// back on the way: a count that turns over falls as often as it rises, one
	// that leaks never does.
	Steady bool
}

// mostFalls is the part of the gain that a steady growth may give back, all
// falls added up.
const mostFalls = 0.1

// GrowthOf returns how values moved over times, which rise; ok is false for
// fewer than four readings.
func GrowthOf(times, values []float64) (g Growth, ok bool) {
	g.Trend, ok = TrendOf(times, values)
	if !ok {
		return Growth{}, false
	}
	g.Gain = g.Slope * (times[g.N-1] - times[0])
	falls := 0.0
	for i := 1; i < g.N; i++ {
		falls += max(0, values[i-1]-values[i])
	}
	_, rises := RiseOf(times, values)
	g.Steady = rises && falls <= mostFalls*g.Gain
	return g, true
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
