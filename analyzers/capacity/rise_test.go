// SPDX-License-Identifier: Apache-2.0

package capacity

import (
	"math"
	"math/rand/v2"
	"testing"
)

// simulate makes n points a second apart.
func simulate(n int, f func(t float64) float64) (at, values []float64) {
	for i := range n {
		at = append(at, float64(i))
		values = append(values, f(float64(i)))
	}
	return at, values
}

func TestRiseOf(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	noise := func(sd float64) float64 { return sd * random.NormFloat64() }
	for name, tt := range map[string]struct {
		f    func(t float64) float64
		rate float64 // 0: none
	}{
		"leak":                   {func(t float64) float64 { return 100 + 5*t + noise(1) }, 5},
		"leak with small teeth":  {func(t float64) float64 { return 100 + 5*t + 6*math.Mod(t, 3) }, 5},
		"accelerating":           {func(t float64) float64 { return 100 + 0.2*t*t }, 6},
		"flat":                   {func(t float64) float64 { return 100 + noise(1) }, 0},
		"constant":               {func(float64) float64 { return 100 }, 0},
		"step":                   {func(t float64) float64 { return 100 + 50*math.Floor(t/15) + noise(0.1) }, 0},
		"staircase of two":       {func(t float64) float64 { return 100 + 50*math.Floor(t/10) }, 0},
		"sawtooth of 12 s":       {func(t float64) float64 { return 100 + 5*math.Mod(t, 12) }, 0},
		"sawtooth of 20 s":       {func(t float64) float64 { return 100 + 5*math.Mod(t+7, 20) }, 0},
		"warm-up":                {func(t float64) float64 { return 100 + 80*(1-math.Exp(-t/5)) }, 0},
		"cache that is full":     {func(t float64) float64 { return 100 + 5*math.Min(t, 14) }, 0},
		"falls":                  {func(t float64) float64 { return 300 - 5*t }, 0},
		"rises and comes back":   {func(t float64) float64 { return 100 + 5*math.Min(t, 30-t) }, 0},
		"one large request":      {func(t float64) float64 { return 100 + t + 200*math.Floor(t/29) }, 0},
		"slower than its noise ": {func(t float64) float64 { return 100 + 0.01*t + noise(5) }, 0},
	} {
		rise, ok := RiseOf(simulate(30, tt.f))
		if ok != (tt.rate > 0) || ok && math.Abs(rise.Rate-tt.rate) > 0.2*tt.rate {
			t.Errorf("%s: rise = %+v %v, want a rate of %v", name, rise, ok, tt.rate)
		}
	}
}

// TestFewPoints: what is too short to tell is not told.
func TestFewPoints(t *testing.T) {
	if _, ok := RiseOf(simulate(5, func(t float64) float64 { return t })); ok {
		t.Error("five points tell a rise")
	}
	if _, ok := RiseOf(nil, nil); ok {
		t.Error("nothing tells a rise")
	}
}
