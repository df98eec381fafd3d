// SPDX-License-Identifier: Apache-2.0

package capacity

import "slices"

// A Rise is growth during the whole window.
type Rise struct {
	Rate float64 // per second, of the envelope of minima
	From float64 // the lowest value of the first third
	To   float64 // the last value
	Span float64 // seconds
}

const (
	// leastRise is the minimum number of points of a rise: two for the minimum of each
	// third.
	leastRise = 6
	// fallShare is the maximum decrease, as a share of the whole rise: a larger one is a
	// sawtooth, or noise. Kendall's Z (docs/science.md, Memory growth) is for long
	// windows: values one second apart are so autocorrelated that its variance, inflated
	// for that, would hide an obvious leak.
	fallShare = 0.25
	// thirdShare is the minimum increase of the minimum of each third, as a share of
	// an even rise.
	thirdShare = 0.2
	// lateShare is the minimum slope of the second half, as a share of the first half's:
	// growth that flattens is a warm-up, or a cache that has filled up.
	lateShare = 0.5
	// jumpShare is the maximum of a single step, as a share of the whole rise: more is
	// a step, such as one large request.
	jumpShare = 0.4
)

// RiseOf returns the growth in all thirds of a series with increasing times. It ignores
// noise, and excludes steps, plateaus and sawteeth that fall within the window. A tooth
// that is longer than the window looks the same as a leak.
func RiseOf(at, values []float64) (Rise, bool) {
	n := min(len(at), len(values))
	if n < leastRise {
		return Rise{}, false
	}
	at, values = at[:n], values[:n]
	third := n / 3
	first, second, last := slices.Min(values[:third]), slices.Min(values[third:n-third]), slices.Min(values[n-third:])
	if second <= first || last <= second {
		return Rise{}, false // a trend cannot outweigh it, and takes a hundred times as long to calculate
	}
	trend, ok := TrendOf(at, values)
	span := at[n-1] - at[0]
	rise := trend.Slope * span
	if !ok || rise <= 0 || deepestFall(values) > fallShare*rise {
		return Rise{}, false
	}
	step := thirdShare * rise / 3
	if second-first < step || last-second < step || biggestStep(values) > jumpShare*rise {
		return Rise{}, false
	}
	early, ok1 := TrendOf(at[:n/2], values[:n/2])
	late, ok2 := TrendOf(at[n/2:], values[n/2:])
	if ok1 && ok2 && late.Slope < lateShare*early.Slope {
		return Rise{}, false
	}
	return Rise{Rate: trend.Slope, From: first, To: values[n-1], Span: span}, true
}

// deepestFall returns the maximum distance of a value below an earlier one.
func deepestFall(values []float64) float64 {
	most, top := 0.0, values[0]
	for _, v := range values {
		top = max(top, v)
		most = max(most, top-v)
	}
	return most
}

// biggestStep returns the largest increase from one point to the next.
func biggestStep(values []float64) float64 {
	most := 0.0
	for i := 1; i < len(values); i++ {
		most = max(most, values[i]-values[i-1])
	}
	return most
}
