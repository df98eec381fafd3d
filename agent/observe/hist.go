// SPDX-License-Identifier: Apache-2.0

package observe

import "math"

// A Hist is a distribution in the buckets that its metric declares: the count and the sum
// of the values in each bucket. The last bucket has no upper bound.
type Hist struct {
	Count []float64
	Sum   []float64
}

// NewHist returns an empty distribution for m.
func NewHist(m *Metric) Hist {
	n := len(m.Bounds) + 1
	return Hist{Count: make([]float64, n), Sum: make([]float64, n)}
}

// Total returns the number of values and their sum.
func (h Hist) Total() (count, sum float64) {
	for i := range h.Count {
		count += h.Count[i]
		sum += h.Sum[i]
	}
	return count, sum
}

// Above returns the number of values in buckets whose mean exceeds x, and their sum. It is
// exact if x is the bound of a bucket.
func (h Hist) Above(x float64) (count, sum float64) {
	for i := range h.Count {
		if h.Count[i] > 0 && h.Sum[i]/h.Count[i] > x {
			count += h.Count[i]
			sum += h.Sum[i]
		}
	}
	return count, sum
}

// Quantile returns the mean of the bucket with the value below which the share q of all
// values lies; 0 if there are none.
func (h Hist) Quantile(q float64) float64 {
	total, _ := h.Total()
	below := 0.0
	for i, n := range h.Count {
		if below += n; n > 0 && below >= q*total {
			return h.Sum[i] / n
		}
	}
	return 0
}

// Add adds o's values to h.
func (h Hist) Add(o Hist) {
	for i := range h.Count {
		h.Count[i] += o.Count[i]
		h.Sum[i] += o.Sum[i]
	}
}

// copyFrom makes h equal to o, which has as many buckets.
func (h Hist) copyFrom(o Hist) {
	copy(h.Count, o.Count)
	copy(h.Sum, o.Sum)
}

// increase sets h to next − prev and reports whether no bucket went backwards.
func (h Hist) increase(prev, next Hist) bool {
	for i := range h.Count {
		h.Count[i] = next.Count[i] - prev.Count[i]
		h.Sum[i] = next.Sum[i] - prev.Sum[i]
		if h.Count[i] < 0 {
			return false
		}
		// A float sum can decrease by a rounding error.
		h.Sum[i] = max(0, h.Sum[i])
	}
	return true
}

// Log2Bounds returns the upper bounds of base-2 buckets, four per octave:
// first·2^(i/4) for n octaves. With a power of two as first they are those of
// OpenTelemetry's exponential histogram at scale 2.
func Log2Bounds(first float64, octaves int) []float64 {
	bounds := make([]float64, 4*octaves+1)
	for i := range bounds {
		bounds[i] = first * math.Exp2(float64(i)/4)
	}
	return bounds
}

// maxCoarse is the maximum number of coarse buckets: each is a series of its own.
const maxCoarse = 9

// Coarse returns how many buckets of Log2Bounds make one of the coarse buckets in which
// exporters write a distribution for readers without exponential ones: whole octaves, two
// of them for 16 octaves (1, 4, 16 ms …).
func Coarse(bounds []float64) int {
	const octave = 4
	n := octave
	for (len(bounds)+n-1)/n > maxCoarse {
		n += octave
	}
	return n
}
