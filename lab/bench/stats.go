// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"slices"
)

// medianInterval returns the median of x and its 95 % interval, by order
// statistics: it makes no assumption about the distribution.
func medianInterval(x []float64) (median, low, high float64) {
	s := slices.Sorted(slices.Values(x))
	n := len(s)
	median = (s[(n-1)/2] + s[n/2]) / 2
	k := lowRank(n)
	return median, s[k], s[n-1-k]
}

// lowRank returns the rank k, from 0, such that the interval from the value of
// rank k to that of rank n−1−k contains the median with 95 %: it misses the median
// when at most k of n values are on one side, 2·P(Binomial(n, ½) ≤ k) ≤ 5 %. With
// fewer than six values the interval is the whole range, and the probability is
// lower.
func lowRank(n int) int {
	p := math.Pow(0.5, float64(n)) // P(Binomial = 0)
	below := p
	k := 0
	for k < n/2 {
		p *= float64(n-k) / float64(k+1)
		if 2*(below+p) > 0.05 {
			break
		}
		below += p
		k++
	}
	return k
}
