// SPDX-License-Identifier: Apache-2.0

package analysis

import "github.com/headroom-project/headroom/agent/observe"

// A History is what the agent remembers of gauges beyond the window. It is read
// only; what is not known is no point.
type History interface {
	// Points are the readings from so many seconds ago to so many seconds ago, the
	// oldest first. Their At is in seconds from the end of the window, 0 or less.
	Points(m *observe.Metric, id observe.ID, from, to float64) []observe.Point
	// Earlier is the highest level that the same program of the same service
	// reached before this one began, such as the process before a restart.
	Earlier(m *observe.Metric, id observe.ID) (peak float64, ok bool)
}

// Past returns what is remembered of a gauge; nothing in diagnose, and in an
// agent that only began.
func (p *Pass) Past(m *observe.Metric, id observe.ID, from, to float64) []observe.Point {
	if p.history == nil {
		return nil
	}
	return p.history.Points(m, id, from, to)
}

// EarlierPeak is the highest level that earlier lives of a process or container
// reached; ok is false when none is remembered.
func (p *Pass) EarlierPeak(m *observe.Metric, id observe.ID) (peak float64, ok bool) {
	if p.history == nil {
		return 0, false
	}
	return p.history.Earlier(m, id)
}

// week is as far back as anything is remembered, in seconds.
const week = 7 * 24 * 3600

// WeeksPeak is the highest level of a gauge that is remembered, or the one seen in the
// window where that is higher: a new limit is for the peak of a week.
func (p *Pass) WeeksPeak(m *observe.Metric, id observe.ID, seen float64) float64 {
	for _, point := range p.Past(m, id, week, 0) {
		seen = max(seen, point.Value)
	}
	return seen
}
