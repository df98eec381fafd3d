// SPDX-License-Identifier: Apache-2.0

package ledger

import "github.com/headroom-project/headroom/agent/observe"

// combine returns the level of a series that holds the levels a and b.
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
	// forgetLevel is the time, in seconds, for which a level stays published after its
	// last reading: limits are read once a minute.
	forgetLevel = 150
	// forgetTransient is the same for levels that are read every second and are absent
	// when they no longer apply.
	forgetTransient = 3
)

// staleAfter returns the time, in seconds, for which a level of m stays published
// after its last reading.
func staleAfter(m *observe.Metric) float64 {
	if m.Transient {
		return forgetTransient
	}
	return forgetLevel
}
