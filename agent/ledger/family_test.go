// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// A node has many containers with at least one process each, whose CPU time the test
// sets. Every exported metric about them has a value.
type node struct {
	*host
	t                    *testing.T
	containers, programs []observe.ID
	used                 []float64 // CPU seconds of each container, of which each process has a share
	each                 int       // processes in a container
	before               map[string]float64
}

func newNode(t *testing.T, containers, processes int) *node {
	n := &node{host: newHost(), t: t, used: make([]float64, containers), each: processes / containers, before: make(map[string]float64)}
	for c := range containers {
		home := n.container(fmt.Sprintf("/docker/%d", c), fmt.Sprintf("c%d", c))
		n.containers = append(n.containers, home)
		for p := range n.each {
			n.programs = append(n.programs, n.process(c*n.each+p+1, home, fmt.Sprintf("program%d", p)))
		}
	}
	return n
}

// tick adds a step of ten seconds and checks the invariants of the ledger.
func (n *node) tick() {
	n.t.Helper()
	n.step(10, func(s *observe.Snapshot) {
		for _, m := range catalog.All() {
			if Exported(m) && (m.Kind == observe.Counter || m.Kind == observe.Gauge) {
				n.fill(s, m)
			}
		}
	})
	n.check()
}

func (n *node) fill(s *observe.Snapshot, m *observe.Metric) {
	switch m.About {
	case observe.Cgroup:
		for i, id := range n.containers {
			s.Set(m, id, n.used[i])
		}
	case observe.Process:
		for i, id := range n.programs {
			s.Set(m, id, n.used[i/n.each]/float64(n.each))
		}
	}
}

// check checks that the number of series is limited, that no series decreases, and that
// the sum of all series is what was used.
func (n *node) check() {
	n.t.Helper()
	series := 0
	n.ledger.Read(func(s Series) {
		if s.Metric.Kind == observe.Histogram {
			series += classicSeries(s.Metric)
			return
		}
		series++
		if s.Metric.Kind != observe.Counter {
			return
		}
		key := s.Metric.Key() + "{" + strings.Join(s.Labels, "|") + "}"
		if before := n.before[key]; s.Value < before {
			n.t.Errorf("second %d: %s fell from %v to %v", n.second, key, before, s.Value)
		}
		n.before[key] = s.Value
	})
	if most := MaxSeries + len(n.ledger.metrics); series > most {
		n.t.Errorf("second %d: %d series, want %d at most", n.second, series, most)
	}
}

// sum returns the sum over all series of m that ever existed: the last total of a
// series that is now part of Other is still included.
func (n *node) sum(m *observe.Metric) (sum float64) {
	for key, v := range n.before {
		if strings.HasPrefix(key, m.Key()+"{") {
			sum += v
		}
	}
	return sum
}

func (n *node) work(from, to int, seconds float64) {
	for i := from; i < to; i++ {
		n.used[i] += seconds
	}
}

// TestSeriesOfManyContainers checks that containers that use CPU have series, also
// those that start to use it later, and that all CPU time is counted once.
func TestSeriesOfManyContainers(t *testing.T) {
	for _, c := range []struct{ containers, processes int }{{110, 1000}, {500, 5000}, {5000, 5000}} {
		t.Run(fmt.Sprintf("%d in %d", c.processes, c.containers), func(t *testing.T) {
			n := newNode(t, c.containers, c.processes)
			n.tick()
			last := c.containers
			for range 6 {
				n.work(0, last, 0.125)
				n.work(last-20, last, 8) // the most recent ones
				n.tick()
			}
			for i := last - 20; i < last; i++ {
				if _, ok := n.series(catalog.CgroupCPUTime)[fmt.Sprintf("||c%d||", i)]; !ok {
					t.Errorf("container %d works most and has no series", i)
				}
			}
			shown := maps.Clone(n.series(catalog.CgroupCPUTime))
			for range 6 { // other containers, with much more CPU time
				n.work(0, 20, 64)
				n.tick()
			}
			for i := range 20 {
				if _, ok := n.series(catalog.CgroupCPUTime)[fmt.Sprintf("||c%d||", i)]; !ok {
					t.Errorf("container %d works most now and has no series", i)
				}
			}
			if least := Guaranteed(catalog.CgroupCPUTime); len(shown) < min(least, c.containers) {
				t.Errorf("%d containers have series, want %d", len(shown), least)
			}
			want := 0.0
			for _, used := range n.used {
				want += used
			}
			for _, m := range []*observe.Metric{catalog.CgroupCPUTime, catalog.ProcessCPU} {
				if got := n.sum(m); got < want*(1-1e-9) || got > want*(1+1e-9) {
					t.Errorf("%s adds up to %v, want %v", m.Key(), got, want)
				}
			}
		})
	}
}

// TestReadAllSeesThroughOther checks that ReadAll returns all services, including those
// whose series are part of Other.
func TestReadAllSeesThroughOther(t *testing.T) {
	n := newNode(t, 500, 500)
	n.tick()
	for range 3 {
		n.work(0, 500, 2)
		n.tick()
	}
	all := make(map[string]float64)
	n.ledger.ReadAll([]*observe.Metric{catalog.CgroupCPUTime, catalog.CgroupMemoryUsage}, func(s Series) {
		all[s.Metric.Name+strings.Join(s.Labels, "|")] = s.Value
	})
	for i := range 500 {
		for _, m := range []*observe.Metric{catalog.CgroupCPUTime, catalog.CgroupMemoryUsage} {
			if got := all[fmt.Sprintf("%s||c%d||", m.Name, i)]; got != 6 {
				t.Fatalf("%s of container %d = %v, want 6", m.Key(), i, got)
			}
		}
	}
	folded := 0
	n.ledger.Folded(func(kind string, groups int) { folded += groups })
	if folded == 0 {
		t.Error("nothing is part of Other: the test tests nothing")
	}
	crowded := 0.0
	n.ledger.Crowded(func(_ *observe.Metric, readings float64) { crowded += readings })
	if crowded == 0 {
		t.Error("no reading is counted as added to Other")
	}
}

// TestLevelsOfOther checks that a level is part of one series only.
func TestLevelsOfOther(t *testing.T) {
	n := newNode(t, 500, 500)
	n.work(0, 500, 1)
	n.tick()
	n.tick()
	levels := n.series(catalog.CgroupMemoryUsage)
	sum := 0.0
	for _, v := range levels {
		sum += v
	}
	if sum != 500 || levels["||||"+Other] != float64(500-len(levels)+1) {
		t.Errorf("%d series add up to %v, want 500; Other is %v", len(levels), sum, levels["||||"+Other])
	}
}

// TestGuaranteesFit checks that the guaranteed series of all kinds together do not
// exceed the maximum number of series.
func TestGuaranteesFit(t *testing.T) {
	sum := 0
	for _, s := range shares {
		sum += s.series
	}
	for _, m := range catalog.All() {
		if m.Kind == observe.PairCounter && Exported(m) {
			sum += pairShare.series
		}
	}
	if sum > MaxSeries {
		t.Errorf("guarantees add up to %d series, more than %d", sum, MaxSeries)
	}
}
