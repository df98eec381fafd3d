// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// readNAB reads the CPU utilisation of virtual machines and databases, a sample of five
// minutes each. The number of their cores is not public: a machine counts as one core.
func readNAB(dir string) ([]trace, error) {
	files, err := glob(dir, "data/realAWSCloudwatch/*_cpu_utilization_*.csv")
	var all []trace
	for _, file := range files {
		t := trace{name: strings.TrimSuffix(filepath.Base(file), ".csv")}
		rows, err := columns(file, "timestamp", "value")
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			if err := t.add("2006-01-02 15:04:05", row[0], row[1], 0.01); err != nil {
				return nil, err
			}
		}
		all = append(all, t.sorted())
	}
	return all, err
}

// readNezha reads CPU and memory of pods, a sample a minute. The two days of a system are
// consecutive; a workload has a file for each.
func readNezha(dir string) (cpu, memory []trace, err error) {
	files, err := glob(dir, "rca_data/*/metric/*_metric.csv")
	pods := make(map[string][2]*trace)
	for _, file := range files {
		name := workload(strings.TrimSuffix(filepath.Base(file), "_metric.csv"))
		pod, known := pods[name]
		if !known {
			pod = [2]*trace{{name: name}, {name: name, memory: true}}
			pods[name] = pod
		}
		rows, err := columns(file, "Time", "CpuUsage(m)", "MemoryUsage(Mi)")
		if err != nil {
			return nil, nil, err
		}
		for _, row := range rows {
			at := row[0][:min(len(row[0]), 19)]
			if err := cmp.Or(pod[0].add(time.DateTime, at, row[1], 0.001), pod[1].add(time.DateTime, at, row[2], 1<<20)); err != nil {
				return nil, nil, err
			}
		}
	}
	for _, pod := range pods {
		if len(pod[0].sorted().days()) > 0 {
			cpu, memory = append(cpu, pod[0].sorted()), append(memory, pod[1].sorted())
		}
	}
	byName := func(a, b trace) int { return cmp.Compare(a.name, b.name) }
	slices.SortFunc(cpu, byName)
	slices.SortFunc(memory, byName)
	return cpu, memory, err
}

// workload returns the deployment of a pod: adservice of adservice-5f6585d649-fnmft. A
// deployment between the two days gave its pods other names.
func workload(pod string) string {
	for range 2 {
		if i := strings.LastIndexByte(pod, '-'); i > 0 {
			pod = pod[:i]
		}
	}
	return pod
}

func (t *trace) add(layout, at, value string, unit float64) error {
	when, err := time.Parse(layout, at)
	if err != nil {
		return err
	}
	v, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return err
	}
	t.samples = append(t.samples, sample{when.Unix(), v * unit})
	return nil
}

// sorted returns the trace in the order of time, with one sample for each time.
func (t trace) sorted() trace {
	slices.SortFunc(t.samples, func(a, b sample) int { return cmp.Compare(a.at, b.at) })
	t.samples = slices.CompactFunc(t.samples, func(a, b sample) bool { return a.at == b.at })
	return t
}

// columns returns the named columns of a CSV file.
func columns(file string, names ...string) ([][]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) == 0 {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	var all [][]string
	for _, row := range rows[1:] {
		var picked []string
		for _, name := range names {
			i := slices.Index(rows[0], name)
			if i < 0 {
				return nil, fmt.Errorf("%s has no column %s", file, name)
			}
			picked = append(picked, row[i])
		}
		all = append(all, picked)
	}
	return all, nil
}
