// SPDX-License-Identifier: Apache-2.0

package main

import "testing"

// TestLowRank compares ranks with those of distribution-free intervals of the median
// (Conover 1999, table A3), counted from 0.
func TestLowRank(t *testing.T) {
	for n, want := range map[int]int{5: 0, 6: 0, 8: 0, 9: 1, 10: 1, 12: 2, 15: 3, 20: 5, 30: 9} {
		if got := lowRank(n); got != want {
			t.Errorf("lowRank(%d) = %d, want %d", n, got, want)
		}
	}
}
