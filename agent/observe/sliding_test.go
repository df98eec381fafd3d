// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestSlidingIsWhatAWindowIs checks that a window joined from panes has the same values
// as a window to which each step was added, for levels and counters that are constant,
// change, stop changing and appear late.
func TestSlidingIsWhatAWindowIs(t *testing.T) {
	const length, every, entities = 30, 10, 200
	random := rand.New(rand.NewPCG(1, 2))
	x := NewIndex(entities)
	level := &Metric{Name: "test.level", Kind: Gauge, About: Process, Series: true}
	for i := range entities {
		x.ID(Entity{Process, string(rune('a' + i))})
	}
	values, totals := make([]float64, entities), make([]float64, entities)
	differ, sliding := NewDiffer(x), NewSliding(x, length, every)
	plain := []*Window{NewWindow(x)}
	judged := 0
	for n := range 10*length + 1 {
		s := at(x, n)
		for i := range ID(entities) {
			if int(i)%5 == n%7 { // it is not read at each step
				continue
			}
			if random.IntN(4) == 0 && i%2 == 0 {
				values[i] = float64(random.IntN(4))
				totals[i] += float64(random.IntN(3))
			}
			s.Set(level, i, values[i])
			s.Set(testCounter, i, totals[i])
		}
		step := differ.Step(s)
		for _, w := range plain {
			w.Add(step)
		}
		got := sliding.Add(step)
		if got == nil {
			continue
		}
		judged++
		same(t, got, plain[0], level, testCounter)
		if plain[0].Seconds >= length-almost {
			plain = plain[1:]
		}
		plain = append(plain, NewWindow(x))
	}
	if judged < 20 {
		t.Errorf("%d windows were judged", judged)
	}
}

func same(t *testing.T, got, want *Window, metrics ...*Metric) {
	t.Helper()
	if got.Seconds != want.Seconds || got.Steps != want.Steps || got.Start != want.Start || got.End != want.End {
		t.Fatalf("a window of %v s in %d steps from %v to %v, want %v s in %d from %v to %v",
			got.Seconds, got.Steps, got.Start, got.End, want.Seconds, want.Steps, want.Start, want.End)
	}
	for _, m := range metrics {
		if a, b := slices.Collect(got.Entities(m)), slices.Collect(want.Entities(m)); !slices.Equal(a, b) {
			t.Fatalf("%s of %v, want %v", m.Name, a, b)
		}
		for id := range want.Entities(m) {
			a, _ := got.at(m, id)
			b, _ := want.at(m, id)
			if a != b {
				t.Fatalf("at %v s, %s of %d: %+v, want %+v", want.End, m.Name, id, a, b)
			}
			if p, q := got.Points(m, id), want.Points(m, id); !slices.Equal(p, q) {
				t.Fatalf("%s of %d: points %v, want %v", m.Name, id, p, q)
			}
		}
	}
}

// TestStillAndMoving compares the two kinds of row with plain arithmetic.
func TestStillAndMoving(t *testing.T) {
	for _, levels := range [][]float64{{0}, {5, 5, 5}, {5, 5, 7, 5}, {0, 0, 3}, {3, 0, 0}, {-1, -1}} {
		var gauge, counter sums
		want := sum{low: levels[0], high: levels[0]}
		for _, v := range levels {
			gauge.level(3, v)
			counter.add(70, v, 1)
			want.total += v
			want.seconds++
			want.rated++
			want.last, want.low, want.high = v, min(want.low, v), max(want.high, v)
		}
		for name, got := range map[string]sum{"gauge": must(gauge.at(3)), "counter": must(counter.at(70))} {
			if got != want {
				t.Errorf("%s of %v: %+v, want %+v", name, levels, got, want)
			}
		}
		if _, ok := gauge.at(70); ok {
			t.Error("a value of an entity that has none")
		}
	}
}

func must(s sum, _ bool) sum { return s }
