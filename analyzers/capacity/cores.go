// SPDX-License-Identifier: Apache-2.0

package capacity

import "math"

// SpeedUp is Amdahl's: how many times faster work of which the share serial
// cannot be spread runs on to cores instead of from.
func SpeedUp(serial, from, to float64) float64 {
	return (serial + (1-serial)/from) / (serial + (1-serial)/to)
}

// Parallelism returns the number of equal shares that a set of unequal shares is worth:
// (Σx)²/Σx². Four equally busy threads are 4, one busy thread among idle ones is 1.
func Parallelism(shares []float64) float64 {
	sum, squares := 0.0, 0.0
	for _, x := range shares {
		sum += x
		squares += x * x
	}
	if squares == 0 {
		return 0
	}
	return sum * sum / squares
}

// CeilTo rounds up to a multiple of step.
func CeilTo(v, step float64) float64 {
	n := math.Ceil(v/step - rounding)
	// Dividing by a whole number gives 1.1, where 11·0.1 is 1.1000000000000001.
	if inverse := math.Round(1 / step); inverse > 1 {
		return n / inverse
	}
	return n * step
}

// FloorTo rounds down to a multiple of step.
func FloorTo(v, step float64) float64 { return -CeilTo(-v, step) }

// RoundCores rounds a number of cores up to what people write in limits:
// steps of 0.05 below one core, 0.1 below four, 0.5 above.
func RoundCores(v float64) float64 {
	switch {
	case v < 1:
		return CeilTo(v, 0.05)
	case v < 4:
		return CeilTo(v, 0.1)
	}
	return CeilTo(v, 0.5)
}

// limitMargin is what a CPU limit needs on top of the demand: helper threads,
// and slices that a quota hands out in pieces (docs/science.md, Limits of containers).
const limitMargin = 1.1

// CPULimit is the limit at which a throttled group is throttled no more: its
// demand in the periods in which it ran out and a margin, but no more than
// its busy threads or the host can use. Low is the demand averaged over all
// periods, high what its threads could use at most.
func CPULimit(demand, average, threads, cpus float64) (value, low, high float64) {
	high = RoundCores(min(threads*limitMargin, cpus))
	value = min(high, RoundCores(demand*limitMargin))
	low = min(value, RoundCores(average))
	return value, low, high
}
