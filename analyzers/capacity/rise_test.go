// SPDX-License-Identifier: Apache-2.0

package capacity

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// simulate returns n points that are one second apart.
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
		rate float64 // 0 for none
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

// TestFewPoints checks that a series with too few points is not reported.
func TestFewPoints(t *testing.T) {
	if _, ok := RiseOf(simulate(5, func(t float64) float64 { return t })); ok {
		t.Error("five points tell a rise")
	}
	if _, ok := RiseOf(nil, nil); ok {
		t.Error("nothing tells a rise")
	}
}

// TestRiseIsThatOfItsDefinition compares RiseOf, which checks the cheap conditions
// first, with a check of all conditions in order, over noise, steps, plateaus,
// sawteeth and leaks.
func TestRiseIsThatOfItsDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	rises := 0
	for round := range 5000 {
		at, values := make([]float64, 30), make([]float64, 30)
		slope, noise, tooth := r.Float64()-0.2, r.Float64()*r.Float64()*10, 1+r.IntN(60)
		for i := range at {
			at[i] = float64(i)
			values[i] = 100 + slope*float64(i%tooth) + math.Round(noise*r.NormFloat64())
		}
		got, ok := RiseOf(at, values)
		want := risesByDefinition(at, values)
		if ok != want {
			t.Fatalf("round %d: rises = %v, want %v: %v", round, ok, want, values)
		}
		if ok {
			rises++
			if trend, _ := TrendOf(at, values); got.Rate != trend.Slope {
				t.Fatalf("round %d: rate = %v, want %v", round, got.Rate, trend.Slope)
			}
		}
	}
	if rises < 100 || rises > 4900 {
		t.Errorf("%d of 5000 series rise: the cases are not mixed", rises)
	}
}

func risesByDefinition(at, values []float64) bool {
	n := len(values)
	third := n / 3
	trend, ok := TrendOf(at, values)
	rise := trend.Slope * (at[n-1] - at[0])
	first, second, last := slices.Min(values[:third]), slices.Min(values[third:n-third]), slices.Min(values[n-third:])
	early, ok1 := TrendOf(at[:n/2], values[:n/2])
	late, ok2 := TrendOf(at[n/2:], values[n/2:])
	step := thirdShare * rise / 3
	return ok && rise > 0 && deepestFall(values) <= fallShare*rise &&
		second-first >= step && last-second >= step && biggestStep(values) <= jumpShare*rise &&
		(!ok1 || !ok2 || late.Slope >= lateShare*early.Slope)
}

// TestStandingStillCostsNothing checks that RiseOf does not allocate for a flat
// series or one that returns to its level, as most series of a host do. RiseOf runs
// on them every ten seconds.
func TestStandingStillCostsNothing(t *testing.T) {
	at, flat, noise := make([]float64, 30), make([]float64, 30), make([]float64, 30)
	for i := range at {
		at[i], flat[i], noise[i] = float64(i), 7, float64(i%7)
	}
	for name, values := range map[string][]float64{"flat": flat, "noise": noise} {
		if n := testing.AllocsPerRun(10, func() { RiseOf(at, values) }); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	if trend, ok := TrendOf(at, flat); !ok || trend != (Trend{N: 30}) {
		t.Errorf("trend of a flat line = %+v, %v", trend, ok)
	}
}
