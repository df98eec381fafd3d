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
	// scale matches observe.Log2Bounds: 2^2 buckets per octave.
	scale     = 2
	perOctave = 1 << scale
)

// A point holds what all data points have in common.
type point struct {
	set         attribute.Set
	since, time time.Time
}

func (p point) number(v float64, level bool) metricdata.DataPoint[float64] {
	d := metricdata.DataPoint[float64]{Attributes: p.set, StartTime: p.since, Time: p.time, Value: v}
	if level {
		d.StartTime = time.Time{} // a level has no start time
	}
	return d
}

// explicit returns p with the coarse buckets of /metrics.
func (p point) explicit(bounds []float64, h observe.Hist) metricdata.HistogramDataPoint[float64] {
	count, sum := h.Total()
	d := metricdata.HistogramDataPoint[float64]{Attributes: p.set, StartTime: p.since, Time: p.time, Count: uint64(count), Sum: sum}
	below, before, per := 0.0, uint64(0), observe.Coarse(bounds)
	for i, bound := range bounds {
		below += h.Count[i]
		if i%per == 0 {
			d.Bounds = append(d.Bounds, bound)
			d.BucketCounts = append(d.BucketCounts, uint64(below)-before)
			before = uint64(below)
		}
	}
	d.BucketCounts = append(d.BucketCounts, d.Count-before)
	return d
}

// exponential returns p with the buckets of the catalogue. Values below the first
// bound go to the zero bucket: the source does not distinguish them.
func (p point) exponential(bounds []float64, h observe.Hist) metricdata.ExponentialHistogramDataPoint[float64] {
	_, sum := h.Total()
	d := metricdata.ExponentialHistogramDataPoint[float64]{Attributes: p.set, StartTime: p.since, Time: p.time, Sum: sum, Scale: scale,
		ZeroCount: uint64(h.Count[0]), ZeroThreshold: bounds[0], Count: uint64(h.Count[0])}
	// Bucket i ends at bounds[i]; here the index of a bucket is that of its lower
	// bound.
	first := int32(math.Round(math.Log2(bounds[0])*perOctave)) - 1
	last := 0 // all buckets after it are empty
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
