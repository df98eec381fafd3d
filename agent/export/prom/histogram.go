// SPDX-License-Identifier: Apache-2.0

package prom

import (
	"cmp"
	"math"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/headroom-project/headroom/agent/observe"
)

const (
	// schema is the resolution of the native histogram: 2^2 buckets per octave, as in
	// observe.Log2Bounds.
	schema    = 2
	perOctave = 1 << schema
)

// A histogram is a distribution at one moment, in classic and native form. Scrapers
// use the form that they support.
type histogram struct {
	desc   *prometheus.Desc
	labels []*dto.LabelPair
	value  *dto.Histogram
}

func newHistogram(d *prometheus.Desc, labels []*dto.LabelPair, bounds []float64, h observe.Hist) *histogram {
	count, sum := h.Total()
	n := uint64(count)
	out := &dto.Histogram{SampleCount: &n, SampleSum: &sum, Bucket: classic(bounds, h)}
	native(out, bounds, h)
	return &histogram{desc: d, labels: labels, value: out}
}

func (h *histogram) Desc() *prometheus.Desc { return h.desc }

func (h *histogram) Write(to *dto.Metric) error {
	to.Label, to.Histogram = h.labels, h.value
	return nil
}

// classic returns cumulative buckets, each a series.
func classic(bounds []float64, h observe.Hist) []*dto.Bucket {
	var buckets []*dto.Bucket
	below, per := 0.0, observe.Coarse(bounds)
	for i := range bounds {
		below += h.Count[i]
		if i%per == 0 {
			n := uint64(below)
			buckets = append(buckets, &dto.Bucket{UpperBound: &bounds[i], CumulativeCount: &n})
		}
	}
	return buckets
}

// native adds the sparse buckets. Values below the first bound go to the zero
// bucket: the source does not distinguish them.
func native(out *dto.Histogram, bounds []float64, h observe.Hist) {
	resolution, zero := int32(schema), uint64(h.Count[0])
	out.Schema, out.ZeroThreshold, out.ZeroCount = &resolution, &bounds[0], &zero
	first := int32(math.Round(math.Log2(bounds[0]) * perOctave))
	before, last := int64(0), int32(math.MinInt32)
	for i := 1; i < len(h.Count); i++ {
		n := int64(h.Count[i])
		if n == 0 {
			continue
		}
		// Bucket i ends at bounds[i], whose index in the schema is first+i; the
		// open-ended bucket counts as the next one.
		at := first + int32(i)
		grow(out, at, last)
		out.PositiveDelta = append(out.PositiveDelta, n-before)
		before, last = n, at
	}
	if len(out.PositiveSpan) == 0 {
		// An empty span marks an empty native histogram; without it, the histogram is
		// classic.
		offset, length := int32(0), uint32(0)
		out.PositiveSpan = []*dto.BucketSpan{{Offset: &offset, Length: &length}}
	}
}

// grow extends the buckets after last up to at, in the last span or in a new one.
func grow(out *dto.Histogram, at, last int32) {
	if n := len(out.PositiveSpan); n > 0 && at == last+1 {
		*out.PositiveSpan[n-1].Length++
		return
	}
	offset, length := at, uint32(1)
	if len(out.PositiveSpan) > 0 {
		offset = at - last - 1
	}
	out.PositiveSpan = append(out.PositiveSpan, &dto.BucketSpan{Offset: &offset, Length: &length})
}

func sortPairs(pairs []*dto.LabelPair) {
	slices.SortFunc(pairs, func(a, b *dto.LabelPair) int { return cmp.Compare(a.GetName(), b.GetName()) })
}
