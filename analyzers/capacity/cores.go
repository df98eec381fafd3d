// SPDX-License-Identifier: Apache-2.0

package capacity

import "math"

// SpeedUp returns by Amdahl's law how many times faster work, of which the share serial
// cannot run in parallel, runs on to cores instead of from.
func SpeedUp(serial, from, to float64) float64 {
	return (serial + (1-serial)/from) / (serial + (1-serial)/to)
}

// LeastCap is the smallest CPU limit to recommend for work that delays services, and its
// step, in cores: below it, stop the work.
const LeastCap = 0.05

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
	// Dividing by an integer gives 1.1, while 11·0.1 is 1.1000000000000001.
	if inverse := math.Round(1 / step); inverse > 1 {
		return n / inverse
	}
	return n * step
}

// FloorTo rounds down to a multiple of step.
func FloorTo(v, step float64) float64 { return -CeilTo(-v, step) }

// RoundCores rounds a number of cores up to a usual value for limits:
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

// LimitMargin is the margin of a CPU limit above the demand, for helper threads, and
// because the quota is distributed in slices (docs/science.md, Limits of containers).
const LimitMargin = 1.1

// CPULimit returns the limit at which a throttled cgroup would not be throttled: its
// demand in throttled periods plus a margin, but at most what its busy threads or the
// host can use. low is the average demand over all periods, high the maximum that its
// threads can use.
func CPULimit(demand, average, threads, cpus float64) (value, low, high float64) {
	high = RoundCores(min(threads*LimitMargin, cpus))
	value = min(high, RoundCores(demand*LimitMargin))
	low = min(value, RoundCores(average))
	return value, low, high
}

// leastStep is the least by which raising a limit is worth a change.
const leastStep = 1.1

// RaisedCPULimit is CPULimit for a group that has a limit, which is too low: each
// finding about a limit recommends this number.
func RaisedCPULimit(limit, demand, average, threads, cpus float64) (value, low, high float64) {
	value, low, high = CPULimit(demand, average, threads, cpus)
	value = max(value, RoundCores(limit*leastStep))
	return value, max(low, limit), max(high, value)
}
