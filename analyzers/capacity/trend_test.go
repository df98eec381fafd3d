// SPDX-License-Identifier: Apache-2.0

package capacity

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestTrendOfALine(t *testing.T) {
	var times, values []float64
	for i := range 10 {
		times, values = append(times, float64(i)*2), append(values, 5+3*float64(i))
	}
	got, ok := TrendOf(times, values)
	if !ok || got.Slope != 1.5 || got.Low != 1.5 || got.High != 1.5 || got.Z < 3 {
		t.Errorf("trend = %+v, %v, want a slope of 1.5 without doubt", got, ok)
	}
}

// TestFewestReadings checks that five rising readings can be chance, and six are a
// trend.
func TestFewestReadings(t *testing.T) {
	times, values := []float64{0, 1, 2, 3, 4, 5}, []float64{0, 3, 4, 7, 8, 11}
	if five, _ := TrendOf(times[:5], values[:5]); five.Z >= 2.6 {
		t.Errorf("Z of five = %v", five.Z)
	}
	if six, _ := TrendOf(times, values); six.Z < 2.6 {
		t.Errorf("Z of six = %v", six.Z)
	}
}

// TestTrendOutlivesOutliers checks that the slope is right if a third of the points
// are outliers.
func TestTrendOutlivesOutliers(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var times, values []float64
	for i := range 60 {
		v := 2*float64(i) + r.NormFloat64()
		if i%3 == 0 {
			v = 1000 * r.Float64()
		}
		times, values = append(times, float64(i)), append(values, v)
	}
	got, _ := TrendOf(times, values)
	if math.Abs(got.Slope-2) > 1 || got.Low > 2 || got.High < 2 {
		t.Errorf("trend = %+v, want a slope of 2", got)
	}
}

// TestNoTrendInNoise checks the rate of false alarms: |Z| > 2.6 occurs in 1 % of
// noise.
func TestNoTrendInNoise(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	const rounds = 400
	alarms := 0
	for range rounds {
		var times, values []float64
		for i := range 30 {
			times, values = append(times, float64(i)), append(values, r.NormFloat64())
		}
		if got, _ := TrendOf(times, values); math.Abs(got.Z) > 2.6 {
			alarms++
		}
	}
	if share := float64(alarms) / rounds; share > 0.02 {
		t.Errorf("noise is called a trend in %.1f %% of the cases, want 1", 100*share)
	}
}

func TestTrendNeedsPoints(t *testing.T) {
	if got, ok := TrendOf([]float64{0, 1, 2}, []float64{1, 2, 3}); ok {
		t.Errorf("three points have a trend: %+v", got)
	}
	if _, ok := TrendOf([]float64{1, 1, 1, 1}, []float64{1, 2, 3, 4}); ok {
		t.Error("points of one moment have a trend")
	}
}

func TestFlatHasNoTrend(t *testing.T) {
	got, ok := TrendOf([]float64{0, 1, 2, 3, 4}, []float64{7, 7, 7, 7, 7})
	if !ok || got.Slope != 0 || got.Z != 0 {
		t.Errorf("trend of a flat line = %+v, %v", got, ok)
	}
}
