// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"slices"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/history"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/capacity"
)

// A formula returns the size for what was recorded before now.
type formula struct {
	name string
	size func(before []sample, memory bool, now int64) float64
}

var formulas = []formula{{"right-size", rightSize}, {"VPA", vpa}, {"KRR", krr}}

// rightSize feeds the samples to the history of the agent, and sizes its hours as the
// analyzer does: a request of CPU or memory, without kills and without a heap.
func rightSize(before []sample, memory bool, _ int64) float64 {
	x := observe.NewIndex(10)
	id := x.ID(observe.Entity{Kind: observe.Cgroup, ID: "/service"})
	x.Describe(id, observe.Info{Attrs: map[string]string{catalog.AttrService: "service"}})
	began := before[0].at - 1
	h := history.New(history.Options{Index: x, Wall: time.Unix(began, 0)})
	differ, s, cpu := observe.NewDiffer(x), observe.NewSnapshot(x), 0.0
	for _, b := range before {
		since := time.Duration(b.at-began) * time.Second
		cpu += b.value * (since - s.Monotonic).Seconds()
		s.Reset()
		s.Monotonic, s.BootTime = since, since
		s.Set(catalog.CgroupCPUTime, id, cpu)
		if memory {
			s.Set(catalog.CgroupMemoryUsage, id, b.value)
			s.Set(catalog.CgroupMemoryFile, id, 0)
		}
		h.Add(differ.Step(s), since)
	}
	var highs []float64
	var ofWeek []int
	need := 0.0
	for hour := range h.Hours(id) {
		highs, ofWeek, need = append(highs, hour.High), append(ofWeek, hour.OfWeek), max(need, hour.Need)
	}
	if memory {
		return capacity.MemoryMargin * need
	}
	return capacity.CPURequest(capacity.BusiestOfWeek(highs, ofWeek))
}

const (
	// vpaMargin, vpaQuantile and halfLife are the defaults of the recommender:
	// --recommendation-margin-fraction, --target-cpu-percentile, and the half-lives.
	vpaMargin, vpaQuantile, halfLife = 1.15, 0.9, day
	// growth is the ratio of the buckets of its histograms; cpuBucket and memoryBucket are
	// their first ones, in cores and bytes.
	growth, cpuBucket, memoryBucket = 1.05, 0.01, 1e7
)

// vpa is the target of the recommender, from its documentation: a histogram with decaying
// weights; of CPU of all readings, of memory of the peak of each day. Its lower limits of
// 25 millicores and 250 MiB for a pod are left out, because they hide the formula.
func vpa(before []sample, memory bool, now int64) float64 {
	first := cpuBucket
	if memory {
		first = memoryBucket
		before = dailyPeaks(before)
	}
	weights := make(map[int]float64)
	total := 0.0
	for _, b := range before {
		w := math.Exp2(-float64(now-b.at) / halfLife)
		weights[bucket(b.value, first)] += w
		total += w
	}
	sum := 0.0
	for n := 0; ; n++ {
		if sum += weights[n]; sum >= vpaQuantile*total {
			return vpaMargin * bucketStart(n+1, first)
		}
	}
}

// bucket returns the number of the bucket of a value, and bucketStart where one begins.
func bucket(v, first float64) int {
	if v < first {
		return 0
	}
	return int(math.Log(v*(growth-1)/first+1) / math.Log(growth))
}

func bucketStart(n int, first float64) float64 {
	return first * (math.Pow(growth, float64(n)) - 1) / (growth - 1)
}

// dailyPeaks returns the highest sample of each day.
func dailyPeaks(before []sample) []sample {
	var peaks []sample
	for _, b := range before {
		if n := len(peaks); n == 0 || peaks[n-1].at/day != b.at/day {
			peaks = append(peaks, b)
		} else if b.value > peaks[n-1].value {
			peaks[n-1] = b
		}
	}
	return peaks
}

const (
	// krrQuantile and krrBuffer are the defaults of KRR's strategy simple.
	krrQuantile, krrBuffer = 0.95, 1.15
)

// krr is the strategy simple of KRR, from its documentation, without its lower limits of
// 10 millicores and 100 MiB.
func krr(before []sample, memory bool, _ int64) float64 {
	var values []float64
	for _, b := range before {
		values = append(values, b.value)
	}
	slices.Sort(values)
	if memory {
		return krrBuffer * values[len(values)-1]
	}
	return capacity.Quantile(values, krrQuantile)
}
