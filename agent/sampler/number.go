// SPDX-License-Identifier: Apache-2.0

package sampler

import (
	"math"
	"math/bits"
)

// digits reads the decimal digits at the beginning of b and returns how many
// they are. What 64 bits do not hold becomes math.MaxUint64, and fits is false.
func digits(b []byte) (n uint64, length int, fits bool) {
	fits = true
	for _, c := range b {
		if c < '0' || c > '9' {
			break
		}
		length++
		d := uint64(c - '0')
		if !fits || n > (math.MaxUint64-d)/10 {
			n, fits = math.MaxUint64, false
			continue
		}
		n = n*10 + d
	}
	return n, length, fits
}

// Number reads decimal digits up to the first other byte, as files of the
// kernel hold them; ok is false for none, and for more than 64 bits hold.
func Number(b []byte) (n uint64, ok bool) {
	n, length, fits := digits(b)
	if length == 0 || !fits {
		return 0, false
	}
	return n, true
}

// Whole reads b as a decimal number without a sign; ok is false for anything
// else, and for more than 64 bits hold.
func Whole(b []byte) (n uint64, ok bool) {
	n, length, fits := digits(b)
	if length == 0 || length < len(b) || !fits {
		return 0, false
	}
	return n, true
}

// Saturated reads decimal digits as Number does. It returns 0 for none, and
// math.MaxUint64 for what 64 bits do not hold.
func Saturated(b []byte) uint64 {
	n, _, _ := digits(b)
	return n
}

// Sum returns a + b, or math.MaxUint64 where 64 bits do not hold it.
func Sum(a, b uint64) uint64 {
	s, carry := bits.Add64(a, b, 0)
	if carry != 0 {
		return math.MaxUint64
	}
	return s
}
