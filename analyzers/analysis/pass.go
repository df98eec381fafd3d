// SPDX-License-Identifier: Apache-2.0

package analysis

import "github.com/headroom-project/headroom/agent/observe"

// A Pass is one analyzer's view of one window.
type Pass struct {
	*observe.Window
	Host observe.Host

	analyzer *Analyzer
	history  History
	params   map[*Param]float64
	checked  int
	skips    []Skip
	names    map[Named]bool
}

// Param returns a threshold: the user's value, or the default.
func (p *Pass) Param(param *Param) float64 {
	if v, ok := p.params[param]; ok {
		return v
	}
	return param.Default
}

// Checked counts one evaluated subject. An analyzer calls it for each, so that
// "fine" differs from "no subject".
func (p *Pass) Checked() { p.checked++ }

// Skip records that the analyzer could not run, for all or for some subjects.
func (p *Pass) Skip(reason string, missing ...*observe.Metric) {
	s := Skip{Analyzer: p.analyzer, Reason: reason}
	for _, m := range missing {
		s.Missing = append(s.Missing, m.Key())
	}
	p.skips = append(p.skips, s)
}

// Attr returns an attribute of an entity or "".
func (p *Pass) Attr(id observe.ID, key string) string { return p.Index.Attr(id, key) }

// IncreaseOr0 returns the increase of m for id, or 0: for sums in which absent and
// zero are the same.
func (p *Pass) IncreaseOr0(m *observe.Metric, id observe.ID) float64 {
	v, _ := p.Increase(m, id)
	return v
}

// Split returns times, in seconds since the start of the window, and values of a
// series.
func Split(points []observe.Point) (at, values []float64) {
	for _, p := range points {
		at, values = append(at, p.At), append(values, p.Value)
	}
	return at, values
}
