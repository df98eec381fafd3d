// SPDX-License-Identifier: Apache-2.0

// Package chart turns readings into the shapes of an SVG that is stretched to
// the width there is: it writes paths and rectangles in a box of Width x
// Height, and no text, which the page sets in its own type beside them.
//
// Considered and rejected: gonum/plot (adds 7 MB, its fonts, to the binary, and
// fixes paper and colours, so that a dark page has white charts); libraries that
// draw in the browser (a page that is printed or opened without scripts would
// be empty).
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

// A Scale maps seconds of the window and values to the box.
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

// Y is where a value is drawn, from the upper edge down.
func (s Scale) Y(v float64) float64 {
	if s.Top <= 0 {
		return Height
	}
	return Height * (1 - min(1, max(0, v/s.Top)))
}

// Top is the end of an axis that holds v: 1, 2, 2.5 or 5 times a power of ten,
// or of two for bytes.
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

// Line is the path of a series. It is broken where readings are missing.
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

// missed is how many times the usual step are a reading that is missing, and
// not a late one.
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

// Span is a stretch of time, over the whole height. It is wide enough to be
// seen.
func (s Scale) Span(from, to float64) Rect {
	const least = 2.0
	x := s.x(from)
	return Rect{number(x), "0", number(max(least, s.x(to)-x)), number(Height)}
}

// A Cell is a stretch of time in which one row had about one value, as a tenth
// of the whole.
type Cell struct {
	Rect
	Tenths int
}

// cells is into how many stretches the time is divided at most: more are
// thinner than a point on a telephone.
const cells = 150

// Heat draws shares, 0 to 1, as rows of cells, the first series on top. What
// falls into one cell is averaged; equal neighbours are one.
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
		// A reading is of the step that it ends.
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

// number keeps what can be seen of a coordinate.
func number(v float64) string {
	return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64)
}
