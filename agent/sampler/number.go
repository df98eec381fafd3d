// SPDX-License-Identifier: Apache-2.0

package sampler

import (
	"math"
	"math/bits"
)

// digits reads the decimal digits at the start of b and returns their number. A value
// above 64 bits becomes math.MaxUint64, and fits is false.
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

// Number reads decimal digits up to the first other byte, as in files of the kernel; ok is
// false if there are none, or the value exceeds 64 bits.
func Number(b []byte) (n uint64, ok bool) {
	n, length, fits := digits(b)
	if length == 0 || !fits {
		return 0, false
	}
	return n, true
}

// Whole reads b as a decimal number without a sign; ok is false for anything else, or if
// the value exceeds 64 bits.
func Whole(b []byte) (n uint64, ok bool) {
	n, length, fits := digits(b)
	if length == 0 || length < len(b) || !fits {
		return 0, false
	}
	return n, true
}

// Saturated reads decimal digits as Number does. It returns 0 if there are none, and
// math.MaxUint64 if the value exceeds 64 bits.
func Saturated(b []byte) uint64 {
	n, _, _ := digits(b)
	return n
}

// Sum returns a + b, or math.MaxUint64 if that exceeds 64 bits.
func Sum(a, b uint64) uint64 {
	s, carry := bits.Add64(a, b, 0)
	if carry != 0 {
		return math.MaxUint64
	}
	return s
}
