// SPDX-License-Identifier: Apache-2.0

package capacity

import "math"

// Spread returns the number of units that work needs so that each is busy for at most
// the share busy: ⌈work/busy⌉, at least one.
func Spread(work, busy float64) int {
	return max(1, int(math.Ceil(work/busy-rounding)))
}

// rounding allows for floating-point errors in 0.65·n.
const rounding = 1e-9
