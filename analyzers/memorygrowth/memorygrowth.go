// SPDX-License-Identifier: Apache-2.0

// Package memorygrowth finds processes and containers whose memory grows towards a
// limit, and predicts when it reaches the limit.
package memorygrowth

import (
	_ "embed"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/capacity"
	"github.com/headroom-project/headroom/analyzers/facts"
)

//go:embed doc.md
var doc string

// Analyzer is memory-growth.
var Analyzer = &analysis.Analyzer{
	Name:     "memory-growth",
	Title:    "Does memory grow towards a limit?",
	Doc:      doc,
	Category: analysis.CategoryMemory,
	Causes:   []string{leak, cache},
	Verbs:    []analysis.Verb{analysis.FixLeak, analysis.RestartBefore},
	Needs:    []*observe.Metric{catalog.ProcessAnon},
	Wants: []*observe.Metric{catalog.ProcessAge, catalog.ProcessMemoryPeak, catalog.ProcessMemory, catalog.CgroupMemoryAnon,
		catalog.CgroupMemoryUsage, catalog.CgroupMemoryLimit, catalog.CgroupMemoryFile, catalog.CgroupMemoryShmem,
		catalog.HostMemoryAvailable, catalog.MemoryTotal, catalog.ProcessEstablished, catalog.ProcessHeapLimit, catalog.ProcessHeapLimitDefault},
	Params: []*analysis.Param{leastShare, leastGrowth, consumed, soon, windows, lives, trendWindow},
	Run:    facts.Run(run),
}

// Causes.
const (
	leak  = "leak-or-unbounded"
	cache = "filling-cache"
)

var (
	leastShare = &analysis.Param{Name: "least-share", Unit: observe.Ratio, Default: 0.01,
		Doc: "Growth over the window, as a share of the limit, below which it is normal turnover. A trend of hours must reach it as well."}
	leastGrowth = &analysis.Param{Name: "least-growth", Unit: observe.Bytes, Default: 16 << 20,
		Doc: "Growth over the window that is more than a young generation that fills for the first time: that of V8 is at most 3 x 16 MiB by default until node 22, of which one half-space fills at a time."}
	consumed = &analysis.Param{Name: "consumed", Unit: observe.Ratio, Default: 1.0 / 3,
		Doc: "Share of the limit that must be in use: growth far from the limit is what a start and a warm-up look like."}
	soon = &analysis.Param{Name: "soon", Unit: observe.Seconds, Default: 60,
		Doc: "Time to the limit within which growth by a tenth of the limit is reported although less than the share consumed is in use: a later window comes after the kill."}
	windows = &analysis.Param{Name: "windows-left", Unit: observe.Ratio, Default: 12,
		Doc: "Number of windows within which the limit must be reached: a line is not a forecast further ahead."}
	lives = &analysis.Param{Name: "lives", Unit: observe.Ratio, Default: 3,
		Doc: "Least age of a process, in windows: a younger process is still starting up."}
)

func run(p *facts.Pass) []analysis.Finding {
	var fs []analysis.Finding
	told := make(map[observe.ID]float64) // bytes per second, added to the cgroups above
	for process := range p.Entities(catalog.ProcessAnon) {
		p.Checked()
		if p.IsObserver(process) {
			continue
		}
		if t, ok := trendOf(p, process, catalog.ProcessAnon); ok {
			now, _ := growth(p, process, catalog.ProcessAnon)
			for cgroup := range p.Cgroups(process) {
				told[cgroup] += max(t.Rate, now.Rate)
			}
			if severity := t.severity(); severity > analysis.Healthy {
				fs = append(fs, t.finding(p, severity))
			}
			continue
		}
		g, ok := growth(p, process, catalog.ProcessAnon)
		if !ok || !grownUp(p, g) || !atItsPeak(p, g) {
			continue
		}
		for cgroup := range p.Cgroups(process) {
			told[cgroup] += g.Rate
		}
		fs = append(fs, g.finding(p))
	}
	for cgroup := range p.Entities(catalog.CgroupMemoryUsage) {
		if t, ok := groupTrend(p, cgroup, told); ok {
			for up := range p.Cgroups(cgroup) {
				told[up] += t.Rate
			}
			if severity := t.severity(); severity > analysis.Healthy {
				fs = append(fs, t.finding(p, severity))
			}
			continue
		}
		if g, ok := together(p, cgroup, told); ok {
			for up := range p.Cgroups(cgroup) {
				told[up] += g.Rate
			}
			fs = append(fs, g.finding(p))
		}
	}
	return fs
}

// A grower is a process or cgroup whose memory rose through the whole window.
type grower struct {
	capacity.Rise
	id     observe.ID
	metric *observe.Metric
	room   facts.MemoryRoom
	ofHost bool    // the limit is the host's memory
	left   float64 // seconds until the limit, at this rate
	files  bool    // most of it is tmpfs and shared memory
}

// growth is ok if the growth matters: larger than normal variations of a runtime,
// and near enough to the limit.
func growth(p *facts.Pass, id observe.ID, m *observe.Metric) (g grower, ok bool) {
	if low, high, ok := p.Range(m, id); !ok || low == high {
		return grower{}, false // most processes of a host: their series is not even expanded
	}
	points := p.Points(m, id)
	if len(points) == 0 {
		return grower{}, false
	}
	g = grower{id: id, metric: m}
	if g.Rise, ok = capacity.RiseOf(analysis.Split(points)); !ok {
		return grower{}, false
	}
	if g.room, ok = p.MemoryRoom(id); !ok {
		return grower{}, false
	}
	node, _ := p.Node()
	g.ofHost = g.room.Whose == node
	g.left = g.room.Left() / g.Rate
	grown := g.Rate * g.Span
	enough := grown >= max(p.Param(leastGrowth), p.Param(leastShare)*g.room.Limit)
	near := g.room.Need >= p.Param(consumed)*g.room.Limit || grown >= fast*g.room.Limit && g.left <= p.Param(soon)
	return g, enough && near && g.left <= p.Param(windows)*g.Span
}

// fast is the growth over the window, as a share of the limit, that is reported also far
// from the limit if the limit is reached soon.
const fast = 0.1

// slowed is the minimum rate, as a share of the rate of the lifetime before, at
// which growth does not count as flattening (docs/science.md, Memory growth).
const slowed = 0.7

// grownUp excludes a process that starts, and one whose growth slows down: a
// warm-up was faster before the window than in it.
func grownUp(p *facts.Pass, g grower) bool {
	age, ok := p.Last(catalog.ProcessAge, g.id)
	if !ok {
		return false
	}
	before := age - g.Span
	return age >= p.Param(lives)*g.Span && g.Rate >= slowed*g.From/before
}

// atItsPeak excludes memory that has been as large before, such as a collector's
// sawtooth that is longer than the window.
func atItsPeak(p *facts.Pass, g grower) bool {
	below, ok := belowPeak(p, g.id)
	return ok && below == 0
}

// belowPeak returns how many bytes less a process held in the window than at some time
// before, 0 if it was nearly as many.
func belowPeak(p *facts.Pass, process observe.ID) (bytes float64, ok bool) {
	const nearly = 0.95
	low, _, ok1 := p.Range(catalog.ProcessMemory, process)
	peak, _, ok2 := p.Range(catalog.ProcessMemoryPeak, process)
	if low >= nearly*peak {
		return 0, ok1 && ok2
	}
	return peak - low, ok1 && ok2
}

// together returns the growth of a container in which no single process, or one
// that the window does not show, has most of it. All of its processes must be old;
// otherwise the growth can come from their number. At most a quarter of it may be memory
// that they held before and hold again.
func together(p *facts.Pass, cgroup observe.ID, told map[observe.ID]float64) (grower, bool) {
	if _, limited := p.Last(catalog.CgroupMemoryLimit, cgroup); !limited {
		return grower{}, false
	}
	g, ok := groupGrowth(p, cgroup)
	if !ok || told[cgroup] >= g.Rate/2 {
		return grower{}, false
	}
	const mostAgain = 0.25     // of the growth
	before, oldest := 0.0, 0.0 // their growth per second before the window
	again := 0.0
	for process := range p.Entities(catalog.ProcessAnon) {
		if !p.Index.Within(process, cgroup) {
			continue
		}
		age, ok1 := p.Last(catalog.ProcessAge, process)
		from, _, ok2 := p.Range(catalog.ProcessAnon, process)
		below, ok3 := belowPeak(p, process)
		if !ok1 || !ok2 || !ok3 || age < p.Param(lives)*g.Span {
			return grower{}, false
		}
		again += below
		before += from / (age - g.Span)
		oldest = max(oldest, age)
	}
	if oldest == 0 || again > mostAgain*g.Rate*g.Span {
		return grower{}, false
	}
	shmem, _, _ := p.Range(catalog.CgroupMemoryShmem, cgroup)
	return g, g.Rate >= slowed*(before+shmem/(oldest-g.Span))
}

// groupGrowth uses all memory charged to a group, which is read every second, if
// page cache is not part of the growth; otherwise its anonymous memory, which needs
// a window of half a minute.
func groupGrowth(p *facts.Pass, cgroup observe.ID) (grower, bool) {
	const mostCache = 0.25 // of the growth
	if g, ok := growth(p, cgroup, catalog.CgroupMemoryUsage); ok {
		cache, files, known := cacheRates(p, cgroup)
		if known && cache <= mostCache*g.Rate {
			g.files = files >= g.Rate/2
			return g, true
		}
	}
	return growth(p, cgroup, catalog.CgroupMemoryAnon)
}

// cacheRates returns the maximum change per second of a group's page cache, and of
// its tmpfs and shared memory. They are read together with anonymous memory; two
// readings are enough.
func cacheRates(p *facts.Pass, cgroup observe.ID) (cache, files float64, ok bool) {
	points := p.Points(catalog.CgroupMemoryAnon, cgroup)
	if len(points) < 2 {
		return 0, 0, false
	}
	watched := points[len(points)-1].At - points[0].At
	low, high, ok1 := p.Range(catalog.CgroupMemoryFile, cgroup)
	least, most, ok2 := p.Range(catalog.CgroupMemoryShmem, cgroup)
	if !ok1 || !ok2 || watched <= 0 {
		return 0, 0, false
	}
	files = (most - least) / watched
	return max((high-low)/watched-files, 0), files, true
}
