// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/procfs"
)

// A measure is a number of the agent that must not grow. Its growth is the median
// of the last quarter minus that of the second one: caches and windows fill during
// the first quarter.
type measure struct {
	name string
	unit string
	of   func(pid int, metrics map[string]float64) (float64, error)
	// may is the allowed growth, and share the allowed growth relative to the value.
	may, share float64
}

var measures = []measure{
	{"rss", "MiB", rss, 1, 0.05},
	{"heap", "MiB", metric("go_memstats_heap_inuse_bytes", 1<<20), 1, 0.10},
	{"goroutines", "", metric("go_goroutines", 1), 2, 0},
	{"descriptors", "", descriptors, 0, 0},
	{"entities", "", metric("headroom_index_entities", 1), 50, 0.10},
	{"history", "MiB", metric("headroom_history_size_bytes", 1<<20), 4, 0},
}

// losses are counters that increase only when something was lost.
var losses = []string{"headroom_index_refused_total", "headroom_findings_refused_total", "headroom_sampler_failures_total", "headroom_standstills_total"}

// A sample is one measurement of the agent.
type sample struct {
	after  time.Duration
	values []float64 // in the order of measures
	lost   []float64 // in the order of losses
	cpu    float64   // seconds since the agent started
}

func columns() []string {
	names := []string{"seconds", "cpu_seconds"}
	for _, m := range measures {
		names = append(names, m.name)
	}
	return append(names, losses...)
}

func (s sample) row() []string {
	row := []string{fmt.Sprintf("%.0f", s.after.Seconds()), fmt.Sprintf("%.2f", s.cpu)}
	for _, v := range slices.Concat(s.values, s.lost) {
		row = append(row, strconv.FormatFloat(v, 'g', 6, 64))
	}
	return row
}

func look(listen string, pid int, after time.Duration) (sample, error) {
	metrics, err := scrape(listen)
	if err != nil {
		return sample{}, fmt.Errorf("the agent does not answer: %w", err)
	}
	s := sample{after: after}
	for _, m := range measures {
		v, err := m.of(pid, metrics)
		if err != nil {
			return sample{}, fmt.Errorf("%s: %w", m.name, err)
		}
		s.values = append(s.values, v)
	}
	for _, name := range losses {
		s.lost = append(s.lost, metrics[name])
	}
	s.cpu, err = metric("process_cpu_seconds_total", 1)(pid, metrics)
	return s, err
}

// scrape returns the sum of each metric's series.
func scrape(listen string) (map[string]float64, error) {
	client := http.Client{Timeout: 10 * time.Second}
	answer, err := client.Get("http://" + listen + "/metrics")
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	if err != nil {
		return nil, err
	}
	sums := make(map[string]float64)
	for name, f := range families {
		for _, m := range f.Metric {
			sums[name] += m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue()
		}
	}
	return sums, nil
}

func metric(name string, unit float64) func(int, map[string]float64) (float64, error) {
	return func(_ int, metrics map[string]float64) (float64, error) {
		v, ok := metrics[name]
		if !ok {
			return 0, fmt.Errorf("the agent does not export %s", name)
		}
		return v / unit, nil
	}
}

func rss(pid int, _ map[string]float64) (float64, error) {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return 0, err
	}
	status, err := p.NewStatus()
	return float64(status.VmRSS) / (1 << 20), err
}

func descriptors(pid int, _ map[string]float64) (float64, error) {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return 0, err
	}
	n, err := p.FileDescriptorsLen()
	return float64(n), err
}

// judge prints the growth of each measure, and fails if one grew too much.
func judge(samples []sample) error {
	n := len(samples)
	if n < 8 {
		return fmt.Errorf("%d samples are too few to judge", n)
	}
	last := samples[n-1]
	fmt.Printf("%v, %d looks, %.2f %% of a core\n", last.after.Round(time.Second), n,
		100*(last.cpu-samples[0].cpu)/(last.after-samples[0].after).Seconds())
	var err error
	for i, m := range measures {
		of := func(part []sample) float64 {
			var x []float64
			for _, s := range part {
				x = append(x, s.values[i])
			}
			slices.Sort(x)
			return x[len(x)/2]
		}
		first, second, end := of(samples[:n/4]), of(samples[n/4:n/2]), of(samples[n-n/4:])
		word := "flat"
		if grown := end - second; grown > m.may && grown > m.share*second {
			word, err = "GREW", errUnsteady
		}
		fmt.Printf("%-12s %s: median of the first quarter %.1f, the second %.1f, the last %.1f %s\n", m.name, word, first, second, end, m.unit)
	}
	for i, name := range losses {
		if n := last.lost[i] - samples[0].lost[i]; n > 0 {
			fmt.Printf("%s: %.0f\n", name, n)
			err = errUnsteady
		}
	}
	return err
}
