// SPDX-License-Identifier: Apache-2.0

package sampler

import (
	"math"
	"testing"
)

func TestNumbers(t *testing.T) {
	const most = math.MaxUint64
	for text, want := range map[string]struct {
		number    uint64
		ok        bool
		whole     bool
		saturated uint64
	}{
		"":                       {0, false, false, 0},
		"x":                      {0, false, false, 0},
		"-1":                     {0, false, false, 0},
		"0":                      {0, true, true, 0},
		"412\n":                  {412, true, false, 412},
		"18446744073709551615":   {most, true, true, most},
		"18446744073709551616":   {0, false, false, most},
		"99999999999999999999 1": {0, false, false, most},
	} {
		b := []byte(text)
		if n, ok := Number(b); n != want.number || ok != want.ok {
			t.Errorf("Number(%q) = %d, %v, want %d, %v", text, n, ok, want.number, want.ok)
		}
		if n, ok := Whole(b); ok != want.whole || ok && n != want.number {
			t.Errorf("Whole(%q) = %d, %v, want %d, %v", text, n, ok, want.number, want.whole)
		}
		if n := Saturated(b); n != want.saturated {
			t.Errorf("Saturated(%q) = %d, want %d", text, n, want.saturated)
		}
	}
	if n := Sum(most, 1); n != most {
		t.Errorf("Sum(%d, 1) = %d, want the largest number", uint64(most), n)
	}
}

func TestCountCPUs(t *testing.T) {
	for text, want := range map[string]int{
		"0": 1, "0-3\n": 4, "0-1,4,6-7\n": 5, "0-3,5,8-9\n": 7, "0-99999999999\n": maxCPUs + 1,
	} {
		if got, ok := CountCPUs([]byte(text)); got != want || !ok {
			t.Errorf("CPUs in %q = %d, %v, want %d", text, got, ok, want)
		}
	}
	for text, want := range map[string]int{"": 0, "\n": 0, "3-1\n": 0, "x": 0, "0-": 0, "a,0-1": 2} {
		if got, ok := CountCPUs([]byte(text)); got != want || ok {
			t.Errorf("CPUs in %q = %d, %v, want %d and not ok", text, got, ok, want)
		}
	}
}

func FuzzRanges(f *testing.F) {
	f.Add([]byte("0-3,8,10-11\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		Ranges(b, func(first, last uint64) {
			if last < first {
				t.Errorf("%q has the range %d-%d", b, first, last)
			}
		})
	})
}
