// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"math"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

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
	memo     memo
}

// Param returns a threshold: the user's, else the default.
func (p *Pass) Param(param *Param) float64 {
	if v, ok := p.params[param]; ok {
		return v
	}
	return param.Default
}

// Checked counts one subject that was looked at. An analyzer calls it for
// each, so that "fine" differs from "no subject".
func (p *Pass) Checked() { p.checked++ }

// Skip records that the question could not be asked, of all or of some.
func (p *Pass) Skip(reason string, missing ...*observe.Metric) {
	s := Skip{Analyzer: p.analyzer, Reason: reason}
	for _, m := range missing {
		s.Missing = append(s.Missing, m.Key())
	}
	p.skips = append(p.skips, s)
}

// Attr returns an attribute of an entity or "".
func (p *Pass) Attr(id observe.ID, key string) string { return p.Index.Attr(id, key) }

// IncreaseOr0 returns the increase of m for id, or 0: for sums in which nothing and
// zero are the same.
func (p *Pass) IncreaseOr0(m *observe.Metric, id observe.ID) float64 {
	v, _ := p.Increase(m, id)
	return v
}

// CPULimit returns the tightest CPU quota that holds for id, in cores, and
// the cgroup that sets it; ok is false when no ancestor has one.
func (p *Pass) CPULimit(id observe.ID) (cores float64, whose observe.ID, ok bool) {
	cores, whose = math.Inf(1), observe.None
	at, found := p.Index.Ancestor(id, observe.Cgroup)
	for found {
		if limit, has := p.Last(catalog.CgroupCPULimit, at); has && limit < cores {
			cores, whose = limit, at
		}
		up, more := p.Index.Parent(at)
		if !more || p.Index.Entity(up).Kind != observe.Cgroup {
			break
		}
		at = up
	}
	return cores, whose, whose != observe.None
}
