// SPDX-License-Identifier: Apache-2.0

package capacity

import "math"

// Spread is over how many units work must be spread so that each is busy for
// no more than the share busy: ⌈work/busy⌉, at least one.
func Spread(work, busy float64) int {
	return max(1, int(math.Ceil(work/busy-rounding)))
}

// rounding forgives what binary fractions do to 0.65·n.
const rounding = 1e-9
