// SPDX-License-Identifier: Apache-2.0

package memorygrowth

import (
	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/capacity"
	"github.com/headroom-project/headroom/analyzers/facts"
)

var trendWindow = &analysis.Param{Name: "trend-window", Unit: observe.Seconds, Default: 5400,
	Doc: "The shortest of three windows in which a trend is searched; the others are four and sixteen times as long: 1.5 hours, 6 hours, a day. With these, none of 141 healthy production pods was reported."}

const (
	// week is the length of the history, in seconds.
	week = 7 * 24 * 3600
	// fullCollections is the number of full collections that must have been observed
	// in a runtime with a garbage collector. collectionsIn is the minimum length of a
	// window, as a multiple of the longest time between two of them.
	fullCollections, collectionsIn = 3, 2
)

// A trend is growth in the history.
type trend struct {
	grower
	climb capacity.Climb
	limit float64 // value of the metric at the limit
	until capacity.Duration
	// sure is set if full collections were observed and did not undo the growth.
	sure bool
	// earlier is the highest level of earlier lifetimes; 0 if not known.
	earlier float64
}

// trendOf is ok for a metric that grows towards its limit over hours, in one of the
// windows.
func trendOf(p *facts.Pass, id observe.ID, m *observe.Metric) (t trend, ok bool) {
	now, known := p.Last(m, id)
	room, limited := p.MemoryRoom(id)
	limit := now + room.Left()
	if !known || !limited || now < p.Param(consumed)*limit {
		return trend{}, false // far from the limit: the history is not needed
	}
	past := func(from, to float64) (at, values []float64) {
		at, values = analysis.Split(p.Past(m, id, from, to))
		return at, withoutLoad(p, id, at, values)
	}
	for climb := range capacity.Climbs(past, p.Param(trendWindow), limit) {
		t = trend{grower: grower{id: id, metric: m, room: room}, climb: climb, limit: limit, until: climb.Until(limit)}
		if !t.matters(p) {
			continue
		}
		node, _ := p.Node()
		t.ofHost = room.Whose == node
		t.earlier, _ = p.EarlierPeak(m, id)
		t.Rise = capacity.Rise{Rate: climb.Slope, From: climb.Level - climb.Gain, To: climb.Level, Span: climb.Span}
		t.left = t.until.At
		return t, true
	}
	return trend{}, false
}

// withoutLoad subtracts the part that follows the connections of a process.
func withoutLoad(p *facts.Pass, id observe.ID, at, values []float64) []float64 {
	if len(at) == 0 {
		return values
	}
	const slack = 60 // seconds: a reading in the history has the time of its tier
	connections := p.Past(catalog.ProcessEstablished, id, slack-at[0], max(0, -at[len(at)-1]))
	if len(connections) == 0 || len(connections) < len(at)/2 {
		return values
	}
	load := make([]float64, len(at))
	i := 0
	for n := range at {
		for i+1 < len(connections) && connections[i+1].At <= at[n] {
			i++
		}
		load[n] = connections[i].Value
	}
	return capacity.WithoutLoad(at, values, load)
}

// matters reports whether the growth is not normal for the lifetime, and reaches
// the limit soon enough for a forecast. It sets sure.
func (t *trend) matters(p *facts.Pass) bool {
	at, values := analysis.Split(p.Past(t.metric, t.id, week, 0))
	if !t.climb.Lasts(at, values, t.limit) || !t.grownUp(p, -at[0]) {
		return false
	}
	if highest, known := t.climb.HighestYet(at, values); known && !highest || !known && !t.atItsPeak(p) {
		return false
	}
	t.sure = runtimeOf(p, t.id) == "" || t.collects(at, values)
	return true
}

// atItsPeak compares with the kernel's peak of a process.
func (t *trend) atItsPeak(p *facts.Pass) bool {
	return p.Index.Entity(t.id).Kind != observe.Process || atItsPeak(p, t.grower)
}

// runtimeOf returns the garbage-collected runtime of a process or of a process in a
// group; "" if there is none.
func runtimeOf(p *facts.Pass, id observe.ID) string {
	if p.Index.Entity(id).Kind == observe.Process {
		if r := p.Attr(id, catalog.AttrRuntime); collectors[r] {
			return r
		}
		return ""
	}
	for process := range p.Entities(catalog.ProcessAnon) {
		if r := p.Attr(process, catalog.AttrRuntime); collectors[r] && p.Index.Within(process, id) {
			return r
		}
	}
	return ""
}

// grownUp depends on the age of a process, or on how long a group is known.
func (t *trend) grownUp(p *facts.Pass, known float64) bool {
	if age, ok := p.Last(catalog.ProcessAge, t.id); ok {
		known = age
	}
	return t.climb.GrownUp(known)
}

// collects reports whether enough full collections were observed, and often enough,
// to know the memory that remains after one.
func (t *trend) collects(at, values []float64) bool {
	floors := capacity.Drops(at, values, capacity.DropDepth(at, values, t.limit))
	if len(floors) < fullCollections {
		return false
	}
	longest := -floors[len(floors)-1].At
	for i := 1; i < len(floors); i++ {
		longest = max(longest, floors[i].At-floors[i-1].At)
	}
	return t.climb.Span >= collectionsIn*longest
}

// severity depends on the earliest time of the forecast. A level that an earlier
// lifetime reached without running out, as after each deployment, raises no alert;
// neither does a heap without an observed full collection, unless it reaches the
// limit within the hour.
func (t *trend) severity() analysis.Severity {
	const hour, day = 3600, 24 * 3600
	end := *t.until.Low
	switch {
	case end >= week:
		return analysis.Healthy
	case !t.sure && t.until.At < hour:
		return analysis.Warning
	case !t.sure, end >= day, t.earlier > t.climb.Level && !t.ranOut():
		return analysis.Info
	case end >= hour:
		return analysis.Warning
	}
	return analysis.Critical
}

// ranOut reports whether an earlier lifetime reached the limit.
func (t *trend) ranOut() bool {
	const nearly = 0.9
	return t.earlier >= nearly*t.limit
}

// groupTrend returns growth of a container or service in which no single process
// has half of it: of its processes together, or of its files in memory.
func groupTrend(p *facts.Pass, cgroup observe.ID, told map[observe.ID]float64) (trend, bool) {
	if _, limited := p.Last(catalog.CgroupMemoryLimit, cgroup); !limited {
		return trend{}, false
	}
	for _, m := range []*observe.Metric{catalog.CgroupMemoryAnon, catalog.CgroupMemoryShmem} {
		if t, ok := trendOf(p, cgroup, m); ok && told[cgroup] < t.Rate/2 {
			t.files = m == catalog.CgroupMemoryShmem
			return t, true
		}
	}
	return trend{}, false
}
