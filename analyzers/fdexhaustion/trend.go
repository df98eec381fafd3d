// SPDX-License-Identifier: Apache-2.0

package fdexhaustion

import (
	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/capacity"
	"github.com/headroom-project/headroom/analyzers/facts"
)

var trendWindow = &analysis.Param{Name: "trend-window", Unit: observe.Seconds, Default: 5400,
	Doc: "The shortest of three windows in which a leak over hours is searched; the others are four and sixteen times as long, as for memory."}

var trendShare = &analysis.Param{Name: "trend-share", Unit: observe.Ratio, Default: 1.0 / 3,
	Doc: "Share of the soft limit that must be in use before the history is consulted: a leak over hours is reported when it has used a third of the room."}

// week is the length of the history, in seconds.
const week = 7 * 24 * 3600

// remember searches the history for a leak that is too slow for the window: in the
// number of descriptors minus that of connections.
func (v *view) remember(p *facts.Pass) {
	if v.Count < p.Param(trendShare)*v.Limit || v.Exhausted() || v.Over() {
		return // far from the limit, or at it: the history is not needed
	}
	past := func(from, to float64) (at, values []float64) { return analysis.Split(v.beyondConnections(p, from, to)) }
	connections, _ := p.Last(catalog.ProcessEstablished, v.Process)
	limit := v.Limit - connections
	age, _ := p.Last(catalog.ProcessAge, v.Process)
	for climb := range capacity.Climbs(past, p.Param(trendWindow), limit) {
		at, values := past(week, 0)
		highest, known := climb.HighestYet(at, values)
		if climb.Gain < p.Param(leastGain) || !climb.Lasts(at, values, limit) || !climb.GrownUp(age) || known && !highest {
			continue
		}
		if climb.Gain < p.Param(unexplained)*v.gainedIn(p, catalog.ProcessFDs, climb.Span) {
			continue
		}
		v.climb, v.leaking = &climb, true
		v.growth = capacity.Growth{Trend: climb.Trend, Gain: climb.Gain, Steady: true}
		v.regain(p)
		return
	}
}

// regain replaces the gains by those of the trend; the history has no kinds.
func (v *view) regain(p *facts.Pass) {
	v.connections.gain = v.gainedIn(p, catalog.ProcessEstablished, v.climb.Span)
	v.closeWait.gain = v.gainedIn(p, catalog.ProcessCloseWait, v.climb.Span)
	for i := range v.kinds {
		v.kinds[i].gain = 0
	}
}

func (v *view) gainedIn(p *facts.Pass, m *observe.Metric, span float64) float64 {
	return gained(p.Past(m, v.Process, span, 0))
}

// beyondConnections returns the number of descriptors minus that of connections. If
// few or none were open, the history does not have their number.
func (v *view) beyondConnections(p *facts.Pass, from, to float64) []observe.Point {
	const slack = 60 // seconds: a reading in the history has the time of its tier
	connections := p.Past(catalog.ProcessEstablished, v.Process, from+slack, to)
	points := p.Past(catalog.ProcessFDs, v.Process, from, to)
	i := 0
	for n := range points {
		for i < len(connections) && connections[i].At <= points[n].At {
			i++
		}
		if i > 0 {
			points[n].Value -= connections[i-1].Value
		}
	}
	return points
}
