// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"math"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/headroom-project/headroom/agent/observe"
)

const (
	// scale is that of observe.Log2Bounds: 2^2 buckets to an octave.
	scale     = 2
	perOctave = 1 << scale
	// perExplicit is how many buckets of the catalogue are one with explicit
	// bounds, two octaves, as in /metrics.
	perExplicit = 2 * perOctave
)

// A point is what all data points have.
type point struct {
	set         attribute.Set
	since, time time.Time
}

func (p point) number(v float64, level bool) metricdata.DataPoint[float64] {
	d := metricdata.DataPoint[float64]{Attributes: p.set, StartTime: p.since, Time: p.time, Value: v}
	if level {
		d.StartTime = time.Time{} // a level is of one moment
	}
	return d
}

// explicit has one bucket to two octaves.
func (p point) explicit(bounds []float64, h observe.Hist) metricdata.HistogramDataPoint[float64] {
	count, sum := h.Total()
	d := metricdata.HistogramDataPoint[float64]{Attributes: p.set, StartTime: p.since, Time: p.time, Count: uint64(count), Sum: sum}
	below, before := 0.0, uint64(0)
	for i, bound := range bounds {
		below += h.Count[i]
		if i%perExplicit == 0 {
			d.Bounds = append(d.Bounds, bound)
			d.BucketCounts = append(d.BucketCounts, uint64(below)-before)
			before = uint64(below)
		}
	}
	d.BucketCounts = append(d.BucketCounts, d.Count-before)
	return d
}

// exponential has the buckets of the catalogue. What is below the first bound is
// the zero bucket: the source does not tell it apart.
func (p point) exponential(bounds []float64, h observe.Hist) metricdata.ExponentialHistogramDataPoint[float64] {
	_, sum := h.Total()
	d := metricdata.ExponentialHistogramDataPoint[float64]{Attributes: p.set, StartTime: p.since, Time: p.time, Sum: sum, Scale: scale,
		ZeroCount: uint64(h.Count[0]), ZeroThreshold: bounds[0], Count: uint64(h.Count[0])}
	// Bucket i ends at bounds[i]. Here a bucket has the index of where it begins.
	first := int32(math.Round(math.Log2(bounds[0])*perOctave)) - 1
	last := 0 // after it all are empty
	for i := 1; i < len(h.Count); i++ {
		n := uint64(h.Count[i])
		d.Count += n
		switch {
		case n == 0 && len(d.PositiveBucket.Counts) == 0:
			continue
		case len(d.PositiveBucket.Counts) == 0:
			d.PositiveBucket.Offset = first + int32(i)
		}
		d.PositiveBucket.Counts = append(d.PositiveBucket.Counts, n)
		if n > 0 {
			last = len(d.PositiveBucket.Counts)
		}
	}
	d.PositiveBucket.Counts = d.PositiveBucket.Counts[:last]
	return d
}
