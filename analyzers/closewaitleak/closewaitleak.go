// SPDX-License-Identifier: Apache-2.0

// Package closewaitleak finds processes that do not close the connections that
// the other side has closed.
package closewaitleak

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

// Analyzer is close-wait-leak.
var Analyzer = &analysis.Analyzer{
	Name:       "close-wait-leak",
	Title:      "Do processes keep connections open that the peer has closed?",
	Doc:        doc,
	Category:   analysis.CategoryConnections,
	Causes:     []string{notClosed},
	Verbs:      []analysis.Verb{analysis.FixLeak},
	Needs:      []*observe.Metric{catalog.ProcessCloseWait},
	Wants:      []*observe.Metric{catalog.ProcessFDs, catalog.ProcessFDLimit, catalog.ProcessFDRefused, catalog.ProcessListens, catalog.LoopTicks},
	Params:     []*analysis.Param{leastCount, leastStay, mostFalls, criticalAhead},
	SymptomOf:  []string{loopBlocked},
	MinSeconds: 60,
	Run:        facts.Run(run),
}

const notClosed = "not-closed"

// loopBlocked is the analyzer of loops that hang: they close nothing
// meanwhile, and it all when they are back.
const loopBlocked = "event-loop-blocked"

var (
	leastCount = &analysis.Param{Name: "least-count", Unit: observe.Count, Default: 20, Enters: true,
		Doc: "Number of connections that must stay in CLOSE_WAIT: a few are about to be closed in any server and in any pool of a client."}
	leastStay = &analysis.Param{Name: "least-stay", Unit: observe.Seconds, Default: 4,
		Doc: "Least time that they must stay, and half of the window in any case: a server closes them within its next tick. Longer windows are more certain."}
	mostFalls = &analysis.Param{Name: "most-falls", Unit: observe.Ratio, Default: 0.1,
		Doc: "Share of the connections that may leave the state in that time: where many come and go, the number falls as often as it rises."}
	criticalAhead = &analysis.Param{Name: "critical-ahead", Unit: observe.Seconds, Default: 3600,
		Doc: "Time until they have used up the file descriptors, as in fd-exhaustion."}
)

func run(p *facts.Pass) []analysis.Finding {
	var fs []analysis.Finding
	for process := range p.Entities(catalog.ProcessCloseWait) {
		p.Checked()
		if v, ok := look(p, process); ok {
			fs = append(fs, v.finding(p))
		}
	}
	return fs
}

// A view is what a process holds in CLOSE_WAIT.
type view struct {
	process observe.ID
	// count is the last reading, stayed the least in the later half of the
	// window, floor the least in all of it.
	count, stayed, floor float64
	growth               capacity.Growth
	fds                  facts.Descriptors
	limited              bool
}

// look reports whether enough connections stay.
func look(p *facts.Pass, process observe.ID) (view, bool) {
	v := view{process: process}
	v.count, _ = p.Last(catalog.ProcessCloseWait, process)
	v.floor, _, _ = p.Range(catalog.ProcessCloseWait, process)
	points := p.Points(catalog.ProcessCloseWait, process)
	stayed, falls, seconds := later(points, p.Seconds/2)
	v.stayed = stayed
	if stayed < p.Param(leastCount) || falls > p.Param(mostFalls)*v.count || seconds < p.Param(leastStay) {
		return view{}, false
	}
	v.growth, _ = capacity.GrowthOf(analysis.Split(points))
	v.fds, v.limited = p.Descriptors(process)
	return v, true
}

// later is the least of the readings from some second on, what was lost
// between them, and how far apart the first and the last are.
func later(points []observe.Point, from float64) (least, falls, seconds float64) {
	var before *observe.Point
	for i := range points {
		at := &points[i]
		// A busy host is read every few seconds: the last reading before counts.
		if at.At < from && i+1 < len(points) && points[i+1].At <= from {
			continue
		}
		if before == nil {
			least, from = at.Value, at.At
		} else {
			falls += max(0, before.Value-at.Value)
		}
		least, seconds = min(least, at.Value), at.At-from
		before = at
	}
	return least, falls, seconds
}

func (v view) finding(p *facts.Pass) analysis.Finding {
	f := analysis.Finding{
		Cause:           notClosed,
		Severity:        v.severity(p),
		Confidence:      v.confidence(p),
		Impact:          v.impact(),
		Subject:         v.process,
		Summary:         v.summary(p),
		Evidence:        v.evidence(p),
		Recommendations: []analysis.Recommendation{v.advice(p)},
		Forecast:        v.forecast(),
	}
	if hung(p, v.process) {
		f.Lost, f.LostTotal = map[string]float64{loopBlocked: p.Seconds}, p.Seconds
		f.Without = func([]string) bool { return false }
	}
	return f
}

// hung reports whether the process's event loop has been in one tick for as
// long as the connections stayed.
func hung(p *facts.Pass, process observe.ID) bool {
	for _, l := range p.Loops() {
		if l.Process == process && l.Current >= p.Seconds/2 {
			return true
		}
	}
	return false
}

func (v view) severity(p *facts.Pass) analysis.Severity {
	end := v.end()
	if v.exhausts() || end != nil && end.At < p.Param(criticalAhead) {
		return analysis.Critical
	}
	return analysis.Warning
}

// mostOf is the share of the descriptors that makes them the reason that
// there are too few.
const mostOf = 0.5

func (v view) exhausts() bool {
	return v.limited && v.fds.Exhausted() && v.count >= mostOf*v.fds.Count
}

// end is when they have used up the descriptors, nil when they do not grow or
// the limit is not known.
func (v view) end() *capacity.Duration {
	if !v.limited || v.exhausts() || !v.growth.Steady {
		return nil
	}
	if d, ok := v.growth.Until(v.fds.Left()); ok {
		return &d
	}
	return nil
}

func (v view) forecast() *analysis.Forecast {
	end := v.end()
	if end == nil {
		return nil
	}
	return &analysis.Forecast{What: "file descriptors", At: end.At, Low: end.Low, High: end.High}
}

// impact is the share of the time in which nothing more could be opened for
// them, else the share of the descriptors that they take.
func (v view) impact() float64 {
	// leastImpact is for a limit that is not known: they hold memory and hide
	// a bug.
	const leastImpact = 0.05
	switch {
	case v.exhausts():
		return max(leastImpact, v.fds.Pinned)
	case v.limited:
		return max(leastImpact, mostOf*min(1, v.count/v.fds.Limit))
	}
	return leastImpact
}

// confidence is in that they are forgotten, and not late: by how long they
// were seen to stay, and whether there are more and more.
func (v view) confidence(p *facts.Pass) float64 {
	const growing, staying, recent, client = 0.95, 0.85, 0.7, 0.6
	listens, known := p.Last(catalog.ProcessListens, v.process)
	switch {
	case v.growth.Steady:
		return growing
	case known && listens == 0:
		return client // the pool of a client closes them when it next looks
	case v.floor >= p.Param(leastCount):
		return staying
	}
	return recent
}
