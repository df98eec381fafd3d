// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"iter"

	"github.com/headroom-project/headroom/agent/observe"
)

// A History has the agent's readings of gauges before the window. It is read only;
// without data it returns no points.
type History interface {
	// Points returns the readings between two times before the end of the window, in
	// seconds, oldest first. Their At is in seconds from the end of the window, 0 or
	// less.
	Points(m *observe.Metric, id observe.ID, from, to float64) []observe.Point
	// Earlier returns the highest level that the same program of the same service
	// reached before this process started, for example before a restart.
	Earlier(m *observe.Metric, id observe.ID) (peak float64, ok bool)
	// Hours yields what the workload of a container or service used in each hour, oldest
	// first, the hour in progress included.
	Hours(id observe.ID) iter.Seq[observe.Hour]
}

// Past returns the history of a gauge; nothing in diagnose, and in an agent that
// has just started.
func (p *Pass) Past(m *observe.Metric, id observe.ID, from, to float64) []observe.Point {
	if p.history == nil {
		return nil
	}
	return p.history.Points(m, id, from, to)
}

// Hours yields what the workload of a container or service used in each hour of the
// history, oldest first; nothing in diagnose.
func (p *Pass) Hours(id observe.ID) iter.Seq[observe.Hour] {
	if p.history == nil {
		return func(func(observe.Hour) bool) {}
	}
	return p.history.Hours(id)
}

// Remembers reports whether there is a history. diagnose has none.
func (p *Pass) Remembers() bool { return p.history != nil }

// EarlierPeak returns the highest level that earlier lifetimes of a process or
// container reached; ok is false if none is known.
func (p *Pass) EarlierPeak(m *observe.Metric, id observe.ID) (peak float64, ok bool) {
	if p.history == nil {
		return 0, false
	}
	return p.history.Earlier(m, id)
}

// week is the length of the history, in seconds.
const week = 7 * 24 * 3600

// WeeksPeak returns the highest level of a gauge in the history, or seen if that is
// higher: a new limit should cover the peak of a week.
func (p *Pass) WeeksPeak(m *observe.Metric, id observe.ID, seen float64) float64 {
	for _, point := range p.Past(m, id, week, 0) {
		seen = max(seen, point.Value)
	}
	return seen
}
