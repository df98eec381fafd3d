// SPDX-License-Identifier: Apache-2.0

package capacity

import (
	"math"
	"slices"
)

// A Trend is the slope of a noisy series.
type Trend struct {
	// Slope is the median of the slopes of all pairs of points (Theil–Sen):
	// outliers do not affect it.
	Slope float64
	// Low and High are its 90 % interval (Sen 1968).
	Low, High float64
	// Z is how many standard deviations Kendall's S is from no trend, its
	// variance inflated for the autocorrelation of the residuals.
	Z float64
	N int
}

const (
	// leastPoints is the minimum number of points for an interval of the slope.
	leastPoints = 4
	// z90 bounds 90 % of a normal distribution.
	z90 = 1.645
	// mostAutocorrelation limits the inflation to 19 times the variance.
	mostAutocorrelation = 0.9
)

// TrendOf returns the slope of values over times, which must increase; ok is false for
// fewer than four points. It takes quadratic time.
func TrendOf(times, values []float64) (t Trend, ok bool) {
	n := min(len(times), len(values))
	if n < leastPoints {
		return Trend{}, false
	}
	if flat(values[:n]) && times[n-1] > times[0] {
		return Trend{N: n}, true // all slopes are 0, as for most series of a host
	}
	slopes, s := pairs(times[:n], values[:n])
	if len(slopes) == 0 {
		return Trend{}, false
	}
	slices.Sort(slopes)
	t.N, t.Slope = n, median(slopes)
	sd := math.Sqrt(kendallVariance(float64(n)) * inflation(times[:n], values[:n], t.Slope))
	if s != 0 {
		t.Z = (s - math.Copysign(1, s)) / sd
	}
	count := float64(len(slopes))
	t.Low = slopes[rank((count-z90*sd)/2, len(slopes))]
	t.High = slopes[rank((count+z90*sd)/2, len(slopes))]
	return t, true
}

// pairs returns the slope of every pair of points, and Kendall's S: increases minus
// decreases.
func pairs(times, values []float64) (slopes []float64, s float64) {
	n := len(times)
	slopes = make([]float64, 0, n*(n-1)/2)
	for i := range times {
		for j := i + 1; j < len(times); j++ {
			dt := times[j] - times[i]
			if dt <= 0 {
				continue
			}
			dv := values[j] - values[i]
			slopes = append(slopes, dv/dt)
			switch {
			case dv > 0:
				s++
			case dv < 0:
				s--
			}
		}
	}
	return slopes, s
}

// flat reports whether all values are the same.
func flat(values []float64) bool {
	for _, v := range values[1:] {
		if v != values[0] {
			return false
		}
	}
	return true
}

// kendallVariance returns the variance of S if there is no trend and no tie.
func kendallVariance(n float64) float64 { return n * (n - 1) * (2*n + 5) / 18 }

// inflation is (1+ρ)/(1−ρ) for the lag-1 autocorrelation of the residuals
// (docs/science.md, Windows and trends): autocorrelated readings have less information.
func inflation(times, values []float64, slope float64) float64 {
	residuals := make([]float64, len(times))
	mean := 0.0
	for i := range times {
		residuals[i] = values[i] - slope*times[i]
		mean += residuals[i] / float64(len(times))
	}
	num, den := 0.0, 0.0
	for i := range residuals {
		r := residuals[i] - mean
		den += r * r
		if i > 0 {
			num += r * (residuals[i-1] - mean)
		}
	}
	if den == 0 {
		return 1
	}
	rho := min(mostAutocorrelation, max(0, num/den))
	return (1 + rho) / (1 - rho)
}

func median(sorted []float64) float64 {
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

func rank(at float64, n int) int {
	return min(n-1, max(0, int(math.Round(at))))
}
