// SPDX-License-Identifier: Apache-2.0

package render

import (
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

// A series holds the values of a metric of one entity in each step of the window.
type series struct {
	name   string
	points []observe.Point
}

// A chartOf is a set of series on one scale. Only HTML has charts.
type chartOf struct {
	title, help string
	unit        string
	// top is the end of the axis if it is fixed: 1 for shares.
	top   float64
	lines []series
	// rows draws the series as rows of a heat map, for more series than lines can
	// show.
	rows  bool
	limit *limit
	// stalls are marked periods.
	stalls []observe.Stall
}

type limit struct {
	name  string
	value float64
}

// hostCharts returns the charts of the host in the window, which most findings are
// about.
func hostCharts(w *observe.Window) []chartOf {
	var all []chartOf
	if c := (chartOf{title: "CPU by core", help: "Share of each second in which a core was not idle; waiting for a disk is idle.",
		unit: string(observe.Ratio), top: 1, rows: true, lines: busyCores(w)}); len(c.lines) > 0 {
		all = append(all, c)
	}
	node, ok := w.Index.Find(observe.Entity{Kind: observe.Node, ID: catalog.NodeID})
	if !ok {
		return all
	}
	add := func(c chartOf) {
		if len(c.lines) > 0 {
			all = append(all, c)
		}
	}
	add(chartOf{title: "Run queue", help: catalog.RunnableTasks.Help, unit: string(observe.Count),
		lines: seriesOf(w, node, "tasks", catalog.RunnableTasks), limit: limitOf(w, node, "CPUs", catalog.CPUCount)})
	pressure := seriesOf(w, node, "CPU", catalog.HostCPUSome)
	pressure = append(pressure, seriesOf(w, node, "memory", catalog.HostMemorySome)...)
	pressure = append(pressure, seriesOf(w, node, "I/O", catalog.HostIOSome)...)
	add(chartOf{title: "Pressure", help: "Share of each second in which at least one task waited (PSI some).", unit: string(observe.Ratio), top: leastPressure, lines: pressure})
	add(chartOf{title: "Memory available", help: catalog.HostMemoryAvailable.Help, unit: string(observe.Bytes),
		lines: seriesOf(w, node, "available", catalog.HostMemoryAvailable), limit: limitOf(w, node, "total", catalog.MemoryTotal)})
	return all
}

// leastPressure is the minimum end of the axis of pressure, so that noise does not
// look like a problem.
const leastPressure = 0.1

// seriesOf returns the series of an entity as a list, empty if there is none.
func seriesOf(w *observe.Window, id observe.ID, name string, m *observe.Metric) []series {
	if points := w.Points(m, id); len(points) > 0 {
		return []series{{name, points}}
	}
	return nil
}

func limitOf(w *observe.Window, id observe.ID, name string, m *observe.Metric) *limit {
	if v, ok := w.Last(m, id); ok && v > 0 {
		return &limit{name, v}
	}
	return nil
}

// busyCores returns the busy share of each CPU.
func busyCores(w *observe.Window) []series {
	var all []series
	for cpu := range w.Entities(catalog.CPUIdle) {
		waits := make(map[float64]float64)
		for _, p := range w.Points(catalog.CPUIOWait, cpu) {
			waits[p.At] = p.Value
		}
		s := series{name: "core " + w.Index.Entity(cpu).ID}
		for _, p := range w.Points(catalog.CPUIdle, cpu) {
			s.points = append(s.points, observe.Point{At: p.At, Value: min(1, max(0, 1-p.Value-waits[p.At]))})
		}
		if len(s.points) > 0 {
			all = append(all, s)
		}
	}
	return all
}

// maxCharts is the maximum number of charts of a finding: for its evidence, not for
// everything that is known.
const maxCharts = 3

// findingCharts returns the series of a finding's evidence, and the activity of its
// subject.
func findingCharts(w *observe.Window, f *analysis.Finding) []chartOf {
	var all []chartOf
	shown := make(map[*observe.Metric]bool)
	show := func(m *observe.Metric, e *analysis.Evidence) {
		if m == nil || !m.Series || shown[m] || len(all) == maxCharts {
			return
		}
		shown[m] = true
		if c, ok := chartFor(w, f, m, e); ok {
			all = append(all, c)
		}
	}
	for i := range f.Evidence {
		show(f.Evidence[i].Metric, &f.Evidence[i])
	}
	show(activity[w.Index.Entity(f.Subject).Kind], nil)
	return all
}

// activity is the metric that shows when a subject was active.
var activity = map[observe.EntityKind]*observe.Metric{
	observe.Loop:    catalog.LoopBusy,
	observe.Process: catalog.ProcessCPU,
	observe.Cgroup:  catalog.CgroupCPUTime,
	observe.Disk:    catalog.DiskBusy,
}

// chartFor returns the chart of m of the finding's subject, or of the entity that
// contains it.
func chartFor(w *observe.Window, f *analysis.Finding, m *observe.Metric, e *analysis.Evidence) (chartOf, bool) {
	id, ok := bearer(w.Index, f.Subject, m.About)
	if !ok {
		return chartOf{}, false
	}
	c := chartOf{title: strings.TrimPrefix(m.Key(), "headroom."), help: m.Help, unit: rateUnit(m), lines: seriesOf(w, id, "", m)}
	if len(c.lines) == 0 {
		return chartOf{}, false
	}
	if m.About == observe.Loop {
		c.top, c.stalls = 1, f.Exemplars
		c.help += " A tick counts in the second in which it ends."
	}
	if by := m.Limit; by != nil {
		c.limit = limitOf(w, id, "limit", by)
	}
	if c.limit == nil && e != nil && e.Bound != nil && string(e.Unit) == c.unit {
		c.limit = &limit{"bound", *e.Bound}
	}
	return c, true
}

// bearer returns the entity of a kind that id is or is in.
func bearer(x *observe.Index, id observe.ID, kind observe.EntityKind) (observe.ID, bool) {
	if kind == observe.Node {
		return x.Find(observe.Entity{Kind: observe.Node, ID: catalog.NodeID})
	}
	return x.Ancestor(id, kind)
}

// rateUnit returns the unit of a metric's series: for a counter, its increase per
// second.
func rateUnit(m *observe.Metric) string {
	switch {
	case m.Kind == observe.Gauge:
		return string(m.Unit)
	case m == catalog.DiskQueueTime:
		return string(observe.Count) // requests in flight
	case m.Unit == observe.Seconds && (m.About == observe.Process || m.About == observe.Cgroup) && strings.Contains(m.Name, "cpu.time"):
		return string(observe.Cores)
	case m.Unit == observe.Seconds:
		return string(observe.Ratio)
	case m.Unit == observe.Bytes:
		return string(m.Unit) + perSecond
	default:
		return perSecond
	}
}

// perSecond is the suffix of the unit of a rate that has no unit of its own.
const perSecond = "/s"

// level formats a value of a chart.
func level(v float64, unit string) string {
	if base, rate := strings.CutSuffix(unit, perSecond); rate {
		return Human(v, base) + " per second"
	}
	return Human(v, unit)
}
