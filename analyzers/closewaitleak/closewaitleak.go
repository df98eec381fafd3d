// SPDX-License-Identifier: Apache-2.0

// Package closewaitleak finds processes that do not close connections after the
// other side closed them.
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

// loopBlocked is the analyzer of blocked loops: they close nothing while they are
// blocked, and everything afterwards.
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

// A view holds a process's connections in CLOSE_WAIT.
type view struct {
	process observe.ID
	// count is the last reading, stayed the minimum in the second half of the window,
	// floor the minimum in all of it.
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

// later returns the minimum of the readings from a time on, the sum of decreases
// between them, and the time between the first and the last.
func later(points []observe.Point, from float64) (least, falls, seconds float64) {
	var before *observe.Point
	for i := range points {
		at := &points[i]
		// A busy host is read every few seconds: use the last reading before from.
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

// hung reports whether the process's event loop was in one tick for as long as the
// connections stayed.
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

// mostOf is the share of the descriptors from which the connections are the reason
// for a shortage.
const mostOf = 0.5

func (v view) exhausts() bool {
	return v.limited && v.fds.Exhausted() && v.count >= mostOf*v.fds.Count
}

// end returns when the connections will have used up the descriptors, nil if they
// do not grow or the limit is not known.
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

// impact is the share of time in which nothing could be opened because of them,
// otherwise the share of the descriptors that they use.
func (v view) impact() float64 {
	// leastImpact applies if the limit is not known: the connections use memory and
	// hide a bug.
	const leastImpact = 0.05
	switch {
	case v.exhausts():
		return max(leastImpact, v.fds.Pinned)
	case v.limited:
		return max(leastImpact, mostOf*min(1, v.count/v.fds.Limit))
	}
	return leastImpact
}

// confidence returns the confidence in a leak, as opposed to late closing: it
// depends on how long the connections stayed, and on whether their number grows.
func (v view) confidence(p *facts.Pass) float64 {
	const growing, staying, recent, client = 0.95, 0.85, 0.7, 0.6
	listens, known := p.Last(catalog.ProcessListens, v.process)
	switch {
	case v.growth.Steady:
		return growing
	case known && listens == 0:
		return client // a client's pool closes them at its next check
	case v.floor >= p.Param(leastCount):
		return staying
	}
	return recent
}
