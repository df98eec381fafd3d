// SPDX-License-Identifier: Apache-2.0

package sampler

import "math"

// Number reads decimal digits up to the first other byte, as files of the
// kernel hold them; ok is false for none, and for more than 64 bits hold.
func Number(b []byte) (n uint64, ok bool) {
	for i, c := range b {
		if c < '0' || c > '9' {
			return n, i > 0
		}
		d := uint64(c - '0')
		if n > (math.MaxUint64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, len(b) > 0
}
