// SPDX-License-Identifier: Apache-2.0

package capacity

import (
	"math"
	"testing"
)

// seconds returns the times of n readings, one per second.
func seconds(n int) []float64 {
	at := make([]float64, n)
	for i := range at {
		at[i] = float64(i)
	}
	return at
}

func TestGrowthTellsALeakFromWhatBends(t *testing.T) {
	for name, c := range map[string]struct {
		value  func(i int) float64
		steady bool
	}{
		"a leak":              {func(i int) float64 { return 20 + 3*float64(i) }, true},
		"a leak in pairs":     {func(i int) float64 { return 20 + 4*float64(i/2) }, true},
		"a pool that fills":   {func(i int) float64 { return min(60, 20+10*float64(i)) }, false},
		"a warm-up":           {func(i int) float64 { return 20 + 30*(1-math.Exp(-float64(i)/2)) }, false},
		"turnover":            {func(i int) float64 { return 30 + 8*float64(i%2) }, false},
		"a step":              {func(i int) float64 { return 20 + 40*float64(i/6) }, false},
		"flat":                {func(int) float64 { return 20 }, false},
		"turnover that rises": {func(i int) float64 { return 20 + 4*float64(i) - 5*float64(i%2) }, false},
		"a leak with a sweep": {func(i int) float64 { return 20 + 3*float64(i%6) }, false},
	} {
		at := seconds(12)
		values := make([]float64, len(at))
		for i := range values {
			values[i] = c.value(i)
		}
		g, ok := GrowthOf(at, values)
		if !ok || g.Steady != c.steady {
			t.Errorf("%s: steady = %v (%v), want %v: %+v", name, g.Steady, ok, c.steady, g)
		}
	}
}

func TestGrowthUntil(t *testing.T) {
	at := seconds(12)
	values := make([]float64, len(at))
	for i := range values {
		values[i] = 100 + 2*float64(i)
	}
	g, _ := GrowthOf(at, values)
	if math.Abs(g.Gain-22) > 1e-9 {
		t.Errorf("gain = %v, want 22", g.Gain)
	}
	d, ok := g.Until(240)
	if !ok || d.At != 120 || d.Low == nil || *d.Low != 120 || d.High == nil || *d.High != 120 {
		t.Errorf("until = %+v, want 120 s", d)
	}
	if _, ok := (Growth{}).Until(10); ok {
		t.Error("what does not grow has an end")
	}
}

func TestGrowthOfTooFewReadings(t *testing.T) {
	if _, ok := GrowthOf(seconds(3), []float64{1, 2, 3}); ok {
		t.Error("three readings have a growth")
	}
}
