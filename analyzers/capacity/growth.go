// SPDX-License-Identifier: Apache-2.0

package capacity

// A Growth is the growth of a count during the observation. It has the same conditions as
// a Rise of memory. In addition a count must hardly ever decrease, while memory is noisy.
type Growth struct {
	Trend
	// Gain is the growth by the slope from the first reading to the last.
	Gain float64
	// Steady is set if it is a Rise with negligible decreases: a count with turnover
	// decreases as often as it increases, a leak never decreases.
	Steady bool
}

// mostFalls is the maximum sum of decreases in steady growth, as a share of the
// gain.
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

// A Duration is a time with its interval; an absent bound is unknown.
type Duration struct {
	At        float64
	Low, High *float64
}

// Soonest returns the lower bound, or the time itself if there is none.
func (d *Duration) Soonest() float64 {
	if d.Low != nil {
		return *d.Low
	}
	return d.At
}

// Until returns when the remainder is used up at this growth; ok is false if it
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
