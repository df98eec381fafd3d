// SPDX-License-Identifier: Apache-2.0

package render

import (
	"fmt"
	"strings"
	"time"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/printable"
	"github.com/headroom-project/headroom/analyzers/report/chart"
)

// A plot is a chart for the page's template: shapes and their labels.
type plot struct {
	Title, Help        string
	Top, Bottom        string // at the ends of the axis of values
	Start, Middle, End string // below the axis of time
	Lines              []plotLine
	Cells              []chart.Cell
	Stalls             []chart.Rect
	LimitY, Limit      string // LimitY is "" if the limit is outside the chart
	Says               string
	Width, Height      float64
}

// A plotLine is a series, with its numbers for readers who cannot see the line.
type plotLine struct {
	Name, Path, Color string
	Mean, Most        string
}

// lineColours is the number of line classes in the style sheet.
const lineColours = 4

// offChart is the factor between a limit and the highest reading from which the
// limit is not drawn: the readings would be a flat line.
const offChart = 8

// draw returns the plot of a chart over a window.
func (c chartOf) draw(w *observe.Window) *plot {
	s := chart.Scale{To: w.Seconds, Top: c.top}
	most := 0.0
	for _, l := range c.lines {
		s.From = max(s.From, beginning(l.points, s.To))
		_, high := extent(l.points)
		most = max(most, high)
	}
	near := c.limit != nil && c.limit.value <= offChart*most
	if near {
		most = max(most, c.limit.value)
	}
	if s.Top == 0 || most > s.Top {
		s.Top = chart.Top(most, observe.Unit(strings.TrimSuffix(c.unit, perSecond)))
	}
	p := &plot{Title: c.title, Help: c.help, Width: chart.Width, Height: chart.Height, Bottom: level(0, c.unit), Top: level(s.Top, c.unit)}
	p.clock(w.Start, s)
	if c.rows {
		p.heat(c, s)
	} else {
		p.draw(c, s)
	}
	if c.limit != nil {
		p.Limit = c.limit.name + " " + level(c.limit.value, c.unit)
		if near {
			p.LimitY = fmt.Sprintf("%.1f", s.Y(c.limit.value))
		} else {
			p.Limit += ", far above"
		}
	}
	p.mark(c.stalls, w.Start, s)
	return p
}

// kept is the number of seconds for which a window keeps series with one step per
// second.
const kept = 600

// beginning returns the start of a chart: that of the window, unless the window is
// longer than its series.
func beginning(points []observe.Point, end float64) float64 {
	if end <= kept || len(points) == 0 {
		return 0
	}
	return points[0].At
}

func (p *plot) clock(start time.Time, s chart.Scale) {
	at := func(seconds float64) string {
		return start.Add(time.Duration(seconds * float64(time.Second))).UTC().Format("15:04:05")
	}
	p.Start, p.Middle, p.End = at(s.From), at((s.From+s.To)/2), at(s.To)+" UTC"
}

func (p *plot) draw(c chartOf, s chart.Scale) {
	for i, l := range c.lines {
		mean, high := extent(l.points)
		p.Lines = append(p.Lines, plotLine{Name: printable.Text(l.name), Path: s.Line(l.points), Color: fmt.Sprintf("c%d", i%lineColours),
			Mean: level(mean, c.unit), Most: level(high, c.unit)})
	}
}

// heat draws a row for each series; if there are few, each also has a description.
func (p *plot) heat(c chartOf, s chart.Scale) {
	const few = 8
	var rows [][]observe.Point
	lowest, highest := 1.0, 0.0
	for _, l := range c.lines {
		rows = append(rows, l.points)
		mean, high := extent(l.points)
		lowest, highest = min(lowest, mean), max(highest, mean)
		if len(c.lines) <= few {
			p.Lines = append(p.Lines, plotLine{Name: printable.Text(l.name), Mean: level(mean, c.unit), Most: level(high, c.unit)})
		}
	}
	p.Cells = s.Heat(rows)
	p.Top, p.Bottom = c.lines[0].name, ""
	if n := len(c.lines); n > 1 {
		p.Bottom = c.lines[n-1].name
	}
	if len(c.lines) > few {
		p.Says = fmt.Sprintf("%d cores, busy %s to %s on average", len(c.lines), level(lowest, c.unit), level(highest, c.unit))
	}
}

func (p *plot) mark(stalls []observe.Stall, start time.Time, s chart.Scale) {
	for _, stall := range stalls {
		from := stall.Start.Sub(start).Seconds()
		p.Stalls = append(p.Stalls, s.Span(from, from+stall.Duration))
	}
}

// extent returns the mean and the maximum of some readings.
func extent(points []observe.Point) (mean, high float64) {
	for _, p := range points {
		mean += p.Value / float64(len(points))
		high = max(high, p.Value)
	}
	return mean, high
}
