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

// A node is many containers with a process or more in each, whose CPU time is set by
// the test; everything that is exported of them has a value.
type node struct {
	*host
	t                    *testing.T
	containers, programs []observe.ID
	used                 []float64 // CPU seconds of each container, a process's is a share of it
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

// tick adds a step of ten seconds, and holds the ledger against its promises.
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

// check asks that series are bounded, that none ever falls, and that all of them
// together are what was used.
func (n *node) check() {
	n.t.Helper()
	series := 0
	n.ledger.Read(func(s Series) {
		if s.Metric.Kind == observe.Histogram {
			series += classicSeries
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

// sum is of all series of m that were ever seen: the last total of those that are
// part of Other now does not go away.
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

// TestSeriesOfManyContainers: those that work have series, and those that work later
// get them; what anybody did is counted once.
func TestSeriesOfManyContainers(t *testing.T) {
	for _, c := range []struct{ containers, processes int }{{110, 1000}, {500, 5000}, {5000, 5000}} {
		t.Run(fmt.Sprintf("%d in %d", c.processes, c.containers), func(t *testing.T) {
			n := newNode(t, c.containers, c.processes)
			n.tick()
			last := c.containers
			for range 6 {
				n.work(0, last, 0.125)
				n.work(last-20, last, 8) // the last that came
				n.tick()
			}
			for i := last - 20; i < last; i++ {
				if _, ok := n.series(catalog.CgroupCPUTime)[fmt.Sprintf("||c%d||", i)]; !ok {
					t.Errorf("container %d works most and has no series", i)
				}
			}
			shown := maps.Clone(n.series(catalog.CgroupCPUTime))
			for range 6 { // others, much more
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

// TestReadAllSeesThroughOther: the list of services is not that of series.
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

// TestLevelsOfOther: a level is part of one series.
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

// TestGuaranteesFit: what each kind may have for certain is less than all may have.
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
