// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"testing"
	"time"
)

// TestSlowNeighbour checks rates if a slow sampler delays the snapshot by seconds: the
// values of other samplers, which were read earlier, do not seem to cover a shorter
// time, and no share of the window exceeds 1.
func TestSlowNeighbour(t *testing.T) {
	x := NewIndex(10)
	id := x.ID(Entity{Kind: Node, ID: "n"})
	waited := &Metric{Name: "waited", Unit: Seconds, Kind: Counter, About: Node}
	d, w := NewDiffer(x), NewWindow(x)
	for _, at := range []struct{ read, complete, value float64 }{{10, 12, 3}, {13, 13, 6}, {20, 20, 13}} {
		own, whole := NewSnapshot(x), NewSnapshot(x)
		own.Monotonic = time.Duration(at.read * float64(time.Second))
		own.Set(waited, id, at.value)
		whole.Include(own)
		whole.Monotonic = time.Duration(at.complete * float64(time.Second))
		w.Add(d.Step(whole))
	}
	if rate, ok := w.Rate(waited, id); !ok || rate != 1 {
		t.Errorf("what waited all the time waited for %v of it, %v, want 1", rate, ok)
	}
	if w.Seconds != 8 || w.Observed(waited, id) != 10 {
		t.Errorf("the window has %v s, and the counter was observed for %v s, want 8 and 10", w.Seconds, w.Observed(waited, id))
	}
}
