// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-project/headroom/agent/observe"
)

func TestTop(t *testing.T) {
	for _, c := range []struct {
		v    float64
		unit observe.Unit
		want float64
	}{
		{0, observe.Count, 1}, {1, observe.Count, 1}, {1.1, observe.Count, 2}, {24, observe.Count, 25}, {30, observe.Count, 50}, {51, observe.Count, 100},
		{0.03, observe.Ratio, 0.05}, {300 << 20, observe.Bytes, 512 << 20},
	} {
		if got := Top(c.v, c.unit); got != c.want {
			t.Errorf("Top(%v, %s) = %v, want %v", c.v, c.unit, got, c.want)
		}
	}
}

// TestLineBreaksWhereNothingWasRead checks that a line has a gap where readings are
// missing.
func TestLineBreaksWhereNothingWasRead(t *testing.T) {
	s := Scale{To: 10, Top: 2}
	points := []observe.Point{{At: 1, Value: 0}, {At: 2, Value: 1}, {At: 3, Value: 2}, {At: 8, Value: 1}, {At: 9, Value: 5}}
	if got, want := s.Line(points), "M100 100h0L200 50L300 0M800 50h0L900 0"; got != want {
		t.Errorf("line = %s, want %s", got, want)
	}
	if got, want := s.Line(points[:1]), "M100 100h0"; got != want {
		t.Errorf("line of one reading = %s, want %s", got, want)
	}
}

// TestHeatJoinsNeighbours checks that neighbouring readings with the same value are one
// cell.
func TestHeatJoinsNeighbours(t *testing.T) {
	s := Scale{To: 4}
	got := s.Heat([][]observe.Point{
		{{At: 1, Value: 1}, {At: 2, Value: 0.99}, {At: 3, Value: 0.2}, {At: 4, Value: 7}},
		{{At: 4, Value: 0}},
	})
	want := []Cell{
		{Rect{"0", "0", "500", "50"}, 10}, {Rect{"500", "0", "250", "50"}, 2}, {Rect{"750", "0", "250", "50"}, 10},
		{Rect{"750", "50", "250", "50"}, 0},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("cells (-want +got):\n%s", diff)
	}
}

// TestSpanIsSeen checks that a stall of a millisecond in an hour is still visible, as a
// line.
func TestSpanIsSeen(t *testing.T) {
	if got, want := (Scale{To: 3600}).Span(1800, 1800.001), (Rect{"500", "0", "2", "100"}); got != want {
		t.Errorf("span = %+v, want %+v", got, want)
	}
}
