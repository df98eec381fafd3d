// SPDX-License-Identifier: Apache-2.0

package memorygrowth

import (
	"math"
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/capacity"
)

var trendWindow = &analysis.Param{Name: "trend-window", Unit: observe.Seconds, Default: 5400,
	Doc: "The shortest of three windows that a trend is looked for in, the others are four and sixteen times as long: an hour and a half, six hours, a day. None of 141 production pods that leaked nothing was taken for one that does with these."}

// spans are the windows as multiples of trend-window. A trend must be there in three
// looks in a row, which are a part of the window apart: ten minutes, half an hour, an hour.
var spans = []struct{ times, looks float64 }{{1, 9}, {4, 12}, {16, 24}}

const (
	inARow = 3
	// covered is the share of a window that must be known.
	covered = 0.9
	// week is as far back as anything is remembered, in seconds.
	week = 7 * 24 * 3600
	// oldAge and youngest: a process must be two windows old, of two hours at the most.
	oldAge, longYouth = 2, 2 * 3600
	// fullCollections is how many of them must have been seen in a runtime that
	// collects when it pleases, and collectionsIn how many times the longest pause
	// between two a window must be.
	fullCollections, collectionsIn = 3, 2
)

// A trend is growth that the history shows.
type trend struct {
	grower
	climb capacity.Climb
	limit float64 // at which value of the metric the room is used up
	until capacity.Duration
	// sure says that collections were seen, and did not take it back.
	sure bool
	// earlier is the highest level of earlier lives; 0 when none is known.
	earlier float64
}

// trendOf is ok for what grows towards its limit for hours, in one of the windows.
func trendOf(p *analysis.Pass, id observe.ID, m *observe.Metric) (t trend, ok bool) {
	now, known := p.Last(m, id)
	room, limited := p.MemoryRoom(id)
	limit := now + room.Left()
	if !known || !limited || now < p.Param(consumed)*limit {
		return trend{}, false // far from it: the history need not be asked
	}
	for _, s := range spans {
		span := s.times * p.Param(trendWindow)
		t = trend{grower: grower{id: id, metric: m, room: room}, limit: limit}
		if t.climbs(p, span, span/s.looks) && t.matters(p, span) {
			node, _ := p.Node()
			t.ofHost = room.Whose == node
			t.earlier, _ = p.EarlierPeak(m, id)
			t.Rise = capacity.Rise{Rate: t.climb.Slope, From: t.climb.Level - t.climb.Gain, To: t.climb.Level, Span: span}
			t.left = t.until.At
			return t, true
		}
	}
	return trend{}, false
}

// climbs holds when it climbed in each of the last looks.
func (t *trend) climbs(p *analysis.Pass, span, apart float64) bool {
	for look := range inARow {
		ago := float64(look) * apart
		at, values := analysis.Split(p.Past(t.metric, t.id, ago+span, ago))
		if len(at) == 0 || at[len(at)-1]-at[0] < covered*span {
			return false
		}
		c, ok := capacity.ClimbOf(at, t.withoutLoad(p, at, values), t.limit)
		if !ok {
			return false
		}
		if look == 0 {
			t.climb = c
		}
	}
	return true
}

// withoutLoad takes away what follows the connections of a process.
func (t *trend) withoutLoad(p *analysis.Pass, at, values []float64) []float64 {
	const slack = 60 // a reading's time is that of its tier
	connections := p.Past(catalog.ProcessEstablished, t.id, slack-at[0], max(0, -at[len(at)-1]))
	if len(connections) < len(at)/2 {
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

// matters holds of growth that is no habit of a whole life, and ends soon enough to
// be foretold. It says whether it is sure.
func (t *trend) matters(p *analysis.Pass, span float64) bool {
	life := p.Past(t.metric, t.id, week, 0)
	at, values := analysis.Split(life)
	begin := slices.Min(values[:len(values)/20+1])
	t.until = t.climb.Until(t.limit)
	if t.until.At > p.Param(windows)*span || t.climb.Level-begin < p.Param(consumed)*(t.limit-begin) {
		return false
	}
	if capacity.FlattensOf(at, values) || !t.grownUp(p, -at[0], span) || !t.allTimeHigh(p, life, span) {
		return false
	}
	t.sure = runtimeOf(p, t.id) == "" || collects(at, values, t.limit, span)
	return true
}

// runtimeOf is the one that collects when it pleases, of a process or of one of a
// group; "" where there is none.
func runtimeOf(p *analysis.Pass, id observe.ID) string {
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

// grownUp is by the age of a process, or for how long a group is known.
func (t *trend) grownUp(p *analysis.Pass, known, span float64) bool {
	if age, ok := p.Last(catalog.ProcessAge, t.id); ok {
		known = age
	}
	return known >= oldAge*min(span, longYouth)
}

// allTimeHigh holds when the envelope is above what minima were before the window.
// Where nothing is remembered of that, the kernel remembers a process's peak.
func (t *trend) allTimeHigh(p *analysis.Pass, life []observe.Point, span float64) bool {
	part := min(1800, span/3) // half an hour
	lows := make(map[int]float64)
	for _, point := range life {
		if point.At >= -span {
			break
		}
		n := int(point.At / part)
		if low, ok := lows[n]; !ok || point.Value < low {
			lows[n] = point.Value
		}
	}
	const enough = 2
	if len(lows) < enough {
		return p.Index.Entity(t.id).Kind != observe.Process || atItsPeak(p, t.grower)
	}
	var before []float64
	for _, low := range lows {
		before = append(before, low)
	}
	slices.Sort(before)
	const nearly = 0.95
	return t.climb.Level > before[int(nearly*float64(len(before)))]
}

// collects says whether enough full collections were seen, and often enough, to
// know what they leave.
func collects(at, values []float64, limit, span float64) bool {
	floors := capacity.Drops(at, values, capacity.DropDepth(at, values, limit))
	if len(floors) < fullCollections {
		return false
	}
	longest := 0.0
	for i := 1; i < len(floors); i++ {
		longest = max(longest, floors[i].At-floors[i-1].At)
	}
	longest = max(longest, -floors[len(floors)-1].At)
	return span >= collectionsIn*longest
}

// severity is by the soonest end. What has been as large in an earlier life without
// running out, as after each deployment, wakes nobody.
func (t *trend) severity() analysis.Severity {
	const hour, day = 3600, 24 * 3600
	end := *t.until.Low
	if !t.sure {
		end = math.Max(t.until.At, hour) // nobody knows how soon: a warning at the most
	}
	switch {
	case end >= week:
		return analysis.Healthy
	case end >= day, t.earlier > t.climb.Level && !t.ranOut():
		return analysis.Info
	case end >= hour:
		return analysis.Warning
	}
	return analysis.Critical
}

// ranOut says that an earlier life reached the limit.
func (t *trend) ranOut() bool {
	const nearly = 0.9
	return t.earlier >= nearly*t.limit
}

// groupTrend is growth of a container or service in which no single process makes
// up half of it: of its processes together, or of its files in memory.
func groupTrend(p *analysis.Pass, cgroup observe.ID, told map[observe.ID]float64) (trend, bool) {
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
