// SPDX-License-Identifier: Apache-2.0

package capacity

import (
	"slices"

	"gonum.org/v1/gonum/stat"
)

// BusiestOfWeek returns the highest value of each hour of the week that has one, in
// ascending order. A size must hold for the hours that come back each week.
func BusiestOfWeek(values []float64, hours []int) []float64 {
	most := make(map[int]float64)
	for i, h := range hours {
		most[h] = max(most[h], values[i])
	}
	all := make([]float64, 0, len(most))
	for _, v := range most {
		all = append(all, v)
	}
	slices.Sort(all)
	return all
}

// Quantile returns the q-quantile of sorted values: the lowest value that is reached by
// none but a share of 1-q of them; 0 for no values.
func Quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return stat.Quantile(q, stat.Empirical, sorted, nil)
}

// mostHours is the share of the hours of the week that a CPU request must hold without
// borrowing idle CPU time: the quantile of KRR, of hours instead of readings.
const mostHours = 0.95

// CPURequest returns the cores that hold the busiest five minutes of most hours. The
// values are those of BusiestOfWeek.
func CPURequest(highs []float64) float64 { return Quantile(highs, mostHours) }

// OftenAbove is the share of the hours that may exceed CPURequest.
const OftenAbove = 1 - mostHours

// Widened returns the upper bound of a size that rests on this many days: what was seen
// in a day can double, what was seen in a week grows by a seventh (the confidence of the
// Vertical Pod Autoscaler, docs/science.md, Right size).
func Widened(v, days float64) float64 { return v * (1 + 1/max(days, 1)) }

// MemoryMargin is the margin of memory above the highest reading: that of the Vertical
// Pod Autoscaler and of KRR.
const MemoryMargin = 1.15
