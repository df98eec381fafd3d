// SPDX-License-Identifier: Apache-2.0

package capacity

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestWaits(t *testing.T) {
	for _, c := range []struct {
		workers int
		load    float64
		want    float64
	}{
		{1, 0.5, 0.5}, // M/M/1: the utilization
		{2, 1, 1. / 3},
		{10, 8, 0.409}, // tables of Erlang C
		{3, 3, 1},
		{2, 5, 1},
	} {
		near(t, "probability of waiting", Queue{Arrivals: c.load, Service: 1}.Waits(c.workers), c.want, 0.001)
	}
}

// TestWaitOfASimulation compares the quantile with a simulated queue.
func TestWaitOfASimulation(t *testing.T) {
	q := Queue{Arrivals: 40, Service: 0.05, Variability: 1}
	const workers, items = 3, 400_000
	r := rand.New(rand.NewPCG(1, 2))
	var free [workers]float64
	waits := make([]float64, 0, items)
	for now := 0.0; len(waits) < items; {
		now += r.ExpFloat64() / q.Arrivals
		next := slices.Index(free[:], slices.Min(free[:]))
		begin := max(now, free[next])
		waits = append(waits, begin-now)
		free[next] = begin + r.ExpFloat64()*q.Service
	}
	slices.Sort(waits)
	for _, p := range []float64{0.5, 0.9, 0.95, 0.99} {
		near(t, "wait", q.Wait(workers, p), waits[int(p*items)], 0.005)
	}
}

func TestWorkers(t *testing.T) {
	q := Queue{Arrivals: 100, Service: 0.05, Variability: 1} // 5 busy workers
	for _, c := range []struct {
		use, wait float64
		want      int
	}{
		{1, math.Inf(1), 5}, {0.99, 60, 6}, {0.85, 60, 6}, {0.5, 60, 10},
		{0.99, 0.01, 9}, // the wait needs more than the load
	} {
		if got := q.Workers(c.use, c.wait, 0.95); got != c.want {
			t.Errorf("workers at %v and %v s = %d, want %d", c.use, c.wait, got, c.want)
		}
	}
	if got := (Queue{}).Workers(0.85, 60, 0.95); got != 1 {
		t.Errorf("workers without work = %d, want 1", got)
	}
}

func TestDrain(t *testing.T) {
	q := Queue{Arrivals: 100, Service: 0.05}
	if got := q.Drain(1000, 5); !math.IsInf(got, 1) {
		t.Errorf("5 workers, which only keep up, drain in %v s", got)
	}
	near(t, "seconds to drain", q.Drain(1000, 10), 10, 1e-9)
	near(t, "seconds to drain nothing", q.Drain(0, 1), 0, 0)
	if got := q.WorkersToDrain(1000, 10, 1); got != 10 {
		t.Errorf("workers = %d, want 10: the reverse of Drain", got)
	}
}

func TestElasticity(t *testing.T) {
	for _, c := range []struct {
		then, want float64
		ok         bool
	}{{80, 1, true}, {40, 0, true}, {0, 0, false}} {
		got, ok := Elasticity(2, 4, 40, c.then)
		if ok != c.ok {
			t.Errorf("elasticity of %v known = %v", c.then, ok)
		}
		near(t, "elasticity", got, c.want, 1e-9)
	}
	if _, ok := Elasticity(2, 2, 40, 40); ok {
		t.Error("the same number of workers has an elasticity")
	}
}
