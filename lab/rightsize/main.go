// SPDX-License-Identifier: Apache-2.0

// Command rightsize compares the sizes of right-size with the formulas of the Vertical
// Pod Autoscaler and of KRR on public traces, and writes docs/accuracy-right-size.md.
//
// Each day, a size is computed from what was recorded before, and judged by the next day.
// The history is the agent's (agent/history), and the formula the analyzer's
// (analyzers/capacity).
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
)

func main() {
	nab := flag.String("nab", "", "clone of github.com/numenta/NAB")
	nezha := flag.String("nezha", "", "clone of github.com/IntelligentDDS/Nezha")
	out := flag.String("o", "docs/accuracy-right-size.md", "page to write")
	flag.Parse()
	if err := compare(*nab, *nezha, *out); err != nil {
		log.Fatal(err)
	}
}

func compare(nab, nezha, out string) error {
	machines, err := readNAB(nab)
	if err != nil {
		return err
	}
	cpu, memory, err := readNezha(nezha)
	if err != nil {
		return err
	}
	page := render([]table{
		judge("CPU, 10 virtual machines over 14 days", machines),
		judge(fmt.Sprintf("CPU, %d pods over 2 days", len(cpu)), cpu),
		judge(fmt.Sprintf("Memory, %d pods over 2 days", len(memory)), memory),
	})
	return os.WriteFile(out, []byte(page), 0o644)
}

// A trace is the use of one resource of one workload: cores or bytes.
type trace struct {
	name    string
	memory  bool
	samples []sample
}

// A sample is a reading; at is in seconds since 1970.
type sample struct {
	at    int64
	value float64
}

const day = 24 * 3600

// leastBefore is the shortest history from which a size is computed: what is recorded of
// the first day of the pods.
const leastBefore = 12 * 3600

// days returns the start of each day after the first one with enough history before it.
func (t trace) days() []int64 {
	first, last := t.samples[0].at, t.samples[len(t.samples)-1].at
	var all []int64
	for at := first - first%day + day; at < last; at += day {
		if at-first >= leastBefore {
			all = append(all, at)
		}
	}
	return all
}

// between returns the samples of [from, to).
func (t trace) between(from, to int64) []sample {
	find := func(at int64) int {
		i, _ := slices.BinarySearchFunc(t.samples, at, func(s sample, at int64) int { return int(s.at - at) })
		return i
	}
	return t.samples[find(from):find(to)]
}

func glob(dir, pattern string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("no %s in %q: pass the directory of a clone", pattern, dir)
	}
	slices.Sort(files)
	return files, err
}
