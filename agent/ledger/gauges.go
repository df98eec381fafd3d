// SPDX-License-Identifier: Apache-2.0

package ledger

import "github.com/headroom-project/headroom/agent/observe"

// combine returns the level of a series of two levels a and b.
func combine(how observe.Fold, a, b float64) float64 {
	switch how {
	case observe.Highest:
		return max(a, b)
	case observe.Lowest:
		return min(a, b)
	default:
		return a + b
	}
}

const (
	// forgetLevel is for how many seconds a level is shown that was not read
	// again: limits are read once a minute.
	forgetLevel = 150
	// forgetTransient is that of what is read each second and is absent when it
	// is over.
	forgetTransient = 3
)

// staleAfter returns for how many seconds a level of m is shown that was not read again.
func staleAfter(m *observe.Metric) float64 {
	if m.Transient {
		return forgetTransient
	}
	return forgetLevel
}
