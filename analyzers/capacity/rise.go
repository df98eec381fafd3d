// SPDX-License-Identifier: Apache-2.0

package capacity

import "slices"

// A Rise is growth that went on through all of a window.
type Rise struct {
	Rate float64 // per second, of the envelope of minima
	From float64 // the lowest value of the first third
	To   float64 // the last value
	Span float64 // seconds
}

const (
	// leastRise is how many points tell a rise: two for the minimum of each
	// third.
	leastRise = 6
	// fallShare is the most that it may ever fall back, as a share of the whole
	// rise: more is a sawtooth, or noise. Kendall's Z (docs/science.md, Memory growth) is for
	// long windows: seconds follow their neighbours so closely that its
	// variance, inflated for that, hides a plain leak.
	fallShare = 0.25
	// thirdShare is the least that each third's minimum rises, as a share of
	// an even rise.
	thirdShare = 0.2
	// lateShare is the least slope of the second half, as a share of the first's:
	// what flattens is a warm-up, or a cache that has filled.
	lateShare = 0.5
	// jumpShare is the most that one step may make up of the whole rise: more is
	// a step, such as one large request.
	jumpShare = 0.4
)

// RiseOf reports growth through all thirds of a series whose times rise. Noise
// goes, a step, a plateau and a sawtooth with a tooth in the window stay out.
// One tooth that is longer than the window looks the same as a leak.
func RiseOf(at, values []float64) (Rise, bool) {
	n := min(len(at), len(values))
	if n < leastRise {
		return Rise{}, false
	}
	at, values = at[:n], values[:n]
	third := n / 3
	first, second, last := slices.Min(values[:third]), slices.Min(values[third:n-third]), slices.Min(values[n-third:])
	if second <= first || last <= second {
		return Rise{}, false // no trend can make up for it, and a trend takes a hundred times as long
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

// deepestFall is the most that a value lies below one before it.
func deepestFall(values []float64) float64 {
	most, top := 0.0, values[0]
	for _, v := range values {
		top = max(top, v)
		most = max(most, top-v)
	}
	return most
}

// biggestStep is the largest rise from one point to the next.
func biggestStep(values []float64) float64 {
	most := 0.0
	for i := 1; i < len(values); i++ {
		most = max(most, values[i]-values[i-1])
	}
	return most
}
