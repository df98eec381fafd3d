// SPDX-License-Identifier: Apache-2.0

package capacity

import "math"

// PeriodDeviation returns the standard deviation, in cores, of the work that arrives in a
// period of a CPU quota of period seconds, if requests of each CPU seconds use cores on
// average. Arrivals are random, and the CPU time of one is taken as exponential, so that
// the variance is 2 · arrivals · each².
func PeriodDeviation(cores, each, period float64) float64 {
	if cores <= 0 || each <= 0 || period <= 0 {
		return 0
	}
	return math.Sqrt(2 * cores * each / period)
}

// inTime is the 95th percentile of the standard normal distribution.
const inTime = 1.645

// PeriodCores returns the CPU limit that holds the work that arrives in a period of the
// quota in 95 of 100 periods, in cores.
func PeriodCores(cores, deviation float64) float64 { return cores + inTime*deviation }
