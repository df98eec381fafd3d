// SPDX-License-Identifier: Apache-2.0

package diskspaceexhaustion

import (
	"cmp"
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/capacity"
)

// A view is the space, or the inodes, of a file system.
type view struct {
	fs               observe.ID
	name, mountpoint string
	kind             string // of the file system
	cause            string
	metric           *observe.Metric
	used, free       float64
	pinned           float64 // share of the readings at which nothing was free

	growth  capacity.Growth
	growing bool
	climb   *capacity.Climb // growth over hours in the history; nil for growth in the window

	// deleted is the size of deleted files that are open; by are those who have them open,
	// or else those whose open files grow, most first.
	deleted float64
	by      []holder
}

// A holder is a process with open files on the file system.
type holder struct {
	process observe.ID
	bytes   float64 // of deleted files, or added
	path    string  // of the largest file
}

// little is the space in bytes, and fewInodes the number of inodes, below which the next
// file cannot be written.
const little, fewInodes = 64 << 10, 1

func look(p *analysis.Pass, fs observe.ID, cause string, used, free *observe.Metric) (*view, bool) {
	v := &view{fs: fs, name: p.Name(fs), mountpoint: p.Attr(fs, catalog.AttrMountpoint), kind: p.Attr(fs, catalog.AttrFilesystem), cause: cause, metric: used}
	var ok1, ok2 bool
	v.used, ok1 = p.Last(used, fs)
	v.free, ok2 = p.Last(free, fs)
	if !ok1 || !ok2 || v.used+v.free <= 0 {
		return nil, false
	}
	least := float64(little)
	if cause == inodes {
		least = fewInodes
	}
	readings := p.Points(free, fs)
	for _, reading := range readings {
		if reading.Value < least {
			v.pinned++
		}
	}
	v.pinned /= float64(max(1, len(readings)))
	if v.isFull() && v.free >= least {
		v.pinned = 0 // it was, and space was freed since
	}
	v.grow(p)
	if cause != inodes {
		v.findDeleted(p)
	}
	return v, true
}

func (v *view) share() float64 { return v.used / (v.used + v.free) }

func (v *view) isFull() bool { return v.pinned > 0 }

// grow measures the growth in the window, or else over hours in the history.
func (v *view) grow(p *analysis.Pass) {
	if v.isFull() || v.share() < p.Param(trendShare) {
		return
	}
	g, ok := capacity.GrowthOf(analysis.Split(p.Points(v.metric, v.fs)))
	if v.growth, v.growing = g, ok && g.Steady; v.near(p) {
		return
	}
	v.growing = false
	past := func(from, to float64) (at, values []float64) {
		return analysis.Split(p.Past(v.metric, v.fs, from, to))
	}
	const week = 7 * 24 * 3600
	size := v.used + v.free
	for climb := range capacity.Climbs(past, p.Param(trendWindow), size) {
		at, values := past(week, 0)
		highest, known := climb.HighestYet(at, values)
		if !climb.Lasts(at, values, size) || known && !highest {
			continue
		}
		v.climb, v.growing = &climb, true
		v.growth = capacity.Growth{Trend: climb.Trend, Gain: climb.Gain, Steady: true}
		return
	}
}

// end returns when the file system is full, nil without growth.
func (v *view) end() *capacity.Duration {
	if !v.growing {
		return nil
	}
	return capacity.UsedUp(v.climb, v.growth, v.free)
}

// near reports whether it is full within the time for which a trend is trusted.
func (v *view) near(p *analysis.Pass) bool {
	end := v.end()
	return end != nil && (v.climb != nil || end.At <= p.Param(farthest)*p.Seconds)
}

func (v *view) severity(p *analysis.Pass) analysis.Severity {
	end := v.end()
	near := v.near(p)
	scarce := v.cause == inodes || v.free < p.Param(muchFree)
	switch {
	case v.isFull(), scarce && v.share() >= p.Param(criticalShare), near && end.At < p.Param(criticalAhead):
		return analysis.Critical
	case scarce && v.share() >= p.Param(warnShare), near && end.Soonest() < p.Param(warnAhead):
		return analysis.Warning
	}
	return analysis.Healthy
}

// findDeleted finds whether deleted files are what fills the file system: without them it
// would have room, or they are most of what is added.
func (v *view) findDeleted(p *analysis.Pass) {
	const most, some = 0.5, 0.05
	v.deleted, _ = p.Last(catalog.FilesystemDeleted, v.fs)
	size := v.used + v.free
	suffices := v.deleted >= some*size && v.used-v.deleted < p.Param(warnShare)*size
	grows := v.growing && v.climb == nil && gained(p, catalog.FilesystemDeleted, v.fs) >= most*v.growth.Gain
	if suffices && !v.growing || grows {
		v.cause = deletedButOpen
		v.by = v.holders(p, func(id observe.ID) float64 { n, _ := p.Last(catalog.OpenFilesDeleted, id); return n })
		return
	}
	v.by = v.holders(p, func(id observe.ID) float64 { return gained(p, catalog.OpenFilesSize, id) })
}

func (v *view) holders(p *analysis.Pass, bytes func(observe.ID) float64) []holder {
	var all []holder
	for id := range p.Entities(catalog.OpenFilesSize) {
		process, ok := p.Index.Ancestor(id, observe.Process)
		if n := bytes(id); ok && n > 0 && p.Attr(id, catalog.AttrMountpoint) == v.mountpoint {
			all = append(all, holder{process: process, bytes: n, path: p.Called(id, p.Attr(id, catalog.AttrFile))})
		}
	}
	slices.SortFunc(all, func(a, b holder) int {
		return cmp.Or(cmp.Compare(b.bytes, a.bytes), cmp.Compare(a.process, b.process))
	})
	return all
}

// gained returns the difference between the last and the first reading.
func gained(p *analysis.Pass, m *observe.Metric, id observe.ID) float64 {
	points := p.Points(m, id)
	if len(points) == 0 {
		return 0
	}
	return points[len(points)-1].Value - points[0].Value
}

// whole is what the bytes of holders are a share of.
func (v *view) whole(p *analysis.Pass) float64 {
	if v.cause == deletedButOpen {
		return max(v.deleted, 1)
	}
	return max(gained(p, v.metric, v.fs), 1)
}

const (
	// counted is the confidence in a file system that is full or almost full, grown in
	// growth over seconds, and lasting in growth over hours.
	counted, grown, lasting = 0.95, 0.6, 0.85
)

func (v *view) confidence(p *analysis.Pass) float64 {
	switch {
	case v.isFull(), v.share() >= p.Param(warnShare):
		return counted
	case v.climb != nil:
		return lasting
	}
	return grown
}

// impact is the share of the window in which nothing could be written. A future shortage
// has no impact yet, and ranks by its urgency.
func (v *view) impact() float64 {
	const ahead = 0.5
	if v.isFull() {
		return v.pinned
	}
	return ahead * min(1, v.share())
}

func (v *view) finding(p *analysis.Pass, severity analysis.Severity) analysis.Finding {
	f := analysis.Finding{
		Cause: v.cause, Severity: severity, Confidence: v.confidence(p), Impact: v.impact(), Subject: v.fs,
		Summary: v.summary(p), Evidence: v.evidence(p), Recommendations: v.advice(p),
	}
	for _, h := range v.by[:min(len(v.by), analysis.MaxBlame)] {
		f.Blame = append(f.Blame, analysis.Blame{Subject: h.process, Share: min(1, h.bytes/v.whole(p))})
	}
	if end := v.end(); end != nil {
		f.Forecast = &analysis.Forecast{What: v.what() + " of " + v.name, At: end.At, Low: end.Low, High: end.High}
	}
	return f
}
