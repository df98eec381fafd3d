// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/json"
	"io"
	"math"
	"strconv"
)

// JSON writes the report as headroom/report/v1. Keys are in the order of the
// contract, so that two reports of one recording are the same bytes.
func (r *Report) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// A number is a float without the noise of binary arithmetic.
type number float64

// jsonScale keeps a nanosecond, the finest that the kernel tells, and drops
// the 4 of 0.30000000000000004.
const jsonScale = 1e9

// exactBelow is where float64 has no more than jsonScale's digits to lose.
const exactBelow = 1e6

// MarshalJSON writes the shortest decimal.
func (n number) MarshalJSON() ([]byte, error) {
	v := float64(n)
	if math.Abs(v) < exactBelow {
		v = math.Round(v*jsonScale) / jsonScale
	}
	return strconv.AppendFloat(nil, v, 'f', -1, 64), nil
}

// known returns v, or nil for what no analyzer should say: a number that is
// not one must not cost the reader the rest of the report.
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

// share is a value of 0..1 that is always present.
func share(v float64) number {
	if n := known(v); n != nil {
		return *n
	}
	return 0
}
