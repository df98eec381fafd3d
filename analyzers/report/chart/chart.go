// SPDX-License-Identifier: Apache-2.0

// Package chart converts readings to the shapes of an SVG that scales to the
// available width: it writes paths and rectangles in a box of Width x Height, and
// no text, which the page adds in its own font.
//
// Considered and rejected: gonum/plot (adds 7 MB, its fonts, to the binary, and
// fixes paper and colours, so that a dark page has white charts); libraries that
// draw in the browser (a page that is printed or opened without scripts would be
// empty).
package chart

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/headroom-project/headroom/agent/observe"
)

// The box in which everything is drawn.
const (
	Width  = 1000.0
	Height = 100.0
)

// A Scale maps times, in seconds of the window, and values to the box.
type Scale struct {
	From, To float64 // seconds
	Top      float64 // the value at the upper edge; the lower is 0
}

func (s Scale) x(at float64) float64 {
	if s.To <= s.From {
		return 0
	}
	return Width * min(1, max(0, (at-s.From)/(s.To-s.From)))
}

// Y returns the position of a value, from the upper edge down.
func (s Scale) Y(v float64) float64 {
	if s.Top <= 0 {
		return Height
	}
	return Height * (1 - min(1, max(0, v/s.Top)))
}

// Top returns the end of an axis that contains v: 1, 2, 2.5 or 5 times a power of
// ten, or of two for bytes.
func Top(v float64, unit observe.Unit) float64 {
	if v <= 0 {
		return 1
	}
	if unit == observe.Bytes {
		return math.Exp2(math.Ceil(math.Log2(v)))
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, step := range []float64{1, 2, 2.5, 5} {
		if v <= step*power {
			return step * power
		}
	}
	return 10 * power
}

// Line returns the path of a series, with a gap where readings are missing.
func (s Scale) Line(points []observe.Point) string {
	var d strings.Builder
	most := maxPause(points)
	for i, p := range points {
		alone := i == 0 || p.At-points[i-1].At > most
		if alone {
			d.WriteString("M" + number(s.x(p.At)) + " " + number(s.Y(p.Value)) + "h0")
		} else {
			d.WriteString("L" + number(s.x(p.At)) + " " + number(s.Y(p.Value)))
		}
	}
	return d.String()
}

// missed is the number of usual steps from which a reading is missing, and not just
// late.
const missed = 3

func maxPause(points []observe.Point) float64 {
	var steps []float64
	for i := 1; i < len(points); i++ {
		steps = append(steps, points[i].At-points[i-1].At)
	}
	if len(steps) == 0 {
		return 0
	}
	slices.Sort(steps)
	return missed * steps[len(steps)/2]
}

// A Rect is a part of the box.
type Rect struct{ X, Y, Width, Height string }

// Span returns the rectangle of a period, with the full height. It is wide enough
// to be visible.
func (s Scale) Span(from, to float64) Rect {
	const least = 2.0
	x := s.x(from)
	return Rect{number(x), "0", number(max(least, s.x(to)-x)), number(Height)}
}

// A Cell is a period in which a row had about the same value, in tenths.
type Cell struct {
	Rect
	Tenths int
}

// cells is the maximum number of periods: more would be thinner than a point on a
// phone.
const cells = 150

// Heat returns shares, 0 to 1, as rows of cells, the first series at the top.
// Readings in one cell are averaged; equal neighbours are joined.
func (s Scale) Heat(rows [][]observe.Point) []Cell {
	var all []Cell
	height, n := Height/float64(max(1, len(rows))), 1
	for _, points := range rows {
		n = max(n, min(cells, len(points)))
	}
	for i, points := range rows {
		all = append(all, s.row(points, n, float64(i)*height, height)...)
	}
	return all
}

func (s Scale) row(points []observe.Point, n int, y, height float64) []Cell {
	sums, counts := make([]float64, n), make([]float64, n)
	for _, p := range points {
		// A reading belongs to the step that it ends.
		at := min(n-1, max(0, int(math.Ceil(s.x(p.At)/Width*float64(n)))-1))
		sums[at] += min(1, max(0, p.Value))
		counts[at]++
	}
	var row []Cell
	began, last := 0, -1
	for i := 0; i <= n; i++ {
		tenths := -1
		if i < n && counts[i] > 0 {
			tenths = int(math.Round(10 * sums[i] / counts[i]))
		}
		if tenths == last && i < n {
			continue
		}
		if last >= 0 {
			width := Width / float64(n)
			row = append(row, Cell{Rect{number(float64(began) * width), number(y), number(float64(i-began) * width), number(height)}, last})
		}
		began, last = i, tenths
	}
	return row
}

// number formats a coordinate with the visible digits.
func number(v float64) string {
	return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64)
}
