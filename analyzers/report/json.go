// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/json"
	"io"
	"math"
	"strconv"
)

// JSON writes the report as headroom/report/v1. The order of keys is fixed, so two
// reports of one recording are equal byte for byte.
func (r *Report) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// A number is a float that is encoded without binary rounding errors.
type number float64

// jsonScale keeps nanoseconds, the resolution of the kernel, and drops the 4 of
// 0.30000000000000004.
const jsonScale = 1e9

// exactBelow is the value below which float64 has all digits of jsonScale.
const exactBelow = 1e6

// MarshalJSON writes the shortest decimal number.
func (n number) MarshalJSON() ([]byte, error) {
	v := float64(n)
	if math.Abs(v) < exactBelow {
		v = math.Round(v*jsonScale) / jsonScale
	}
	return strconv.AppendFloat(nil, v, 'f', -1, 64), nil
}

// known returns v, or nil if v is not a number, which no analyzer should return: it
// must not break the whole report.
func known(v float64) *number {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	n := number(v)
	return &n
}

func knownOf(v *float64) *number {
	if v == nil {
		return nil
	}
	return known(*v)
}

// share returns a value of 0..1 that is always present.
func share(v float64) number {
	if n := known(v); n != nil {
		return *n
	}
	return 0
}
