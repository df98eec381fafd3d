// SPDX-License-Identifier: Apache-2.0

// Package fdexhaustion finds processes that run out of file descriptors, predicts
// when, and distinguishes leaks from load that needs a higher limit.
package fdexhaustion

import (
	_ "embed"
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

//go:embed doc.md
var doc string

// Analyzer is fd-exhaustion.
var Analyzer = &analysis.Analyzer{
	Name:     "fd-exhaustion",
	Title:    "Does a process run out of file descriptors?",
	Doc:      doc,
	Category: analysis.CategoryConnections,
	Causes:   []string{leak, load, limitTooLow},
	Verbs:    []analysis.Verb{analysis.FixLeak, analysis.RaiseFDLimit},
	Needs:    []*observe.Metric{catalog.ProcessFDs},
	Wants: []*observe.Metric{catalog.ProcessFDLimit, catalog.ProcessFDHardLimit, catalog.ProcessFDRefused, catalog.ProcessFDSockets,
		catalog.ProcessFDFiles, catalog.ProcessFDPipes, catalog.ProcessFDAnon, catalog.ProcessEstablished, catalog.ProcessCloseWait,
		catalog.ProcessAge, catalog.HostFDs, catalog.HostFDLimit},
	Params:     []*analysis.Param{warnShare, criticalShare, warnAhead, criticalAhead, farthest, leastGain, unexplained, trendWindow, trendShare},
	SymptomOf:  []string{closeWaitLeak},
	MinSeconds: 60,
	Fact:       refusedCalls,
	Run:        facts.Run(run),
}

// Causes.
const (
	leak        = "leak"
	load        = "load"
	limitTooLow = "limit-too-low"
)

// closeWaitLeak is the analyzer of connections that are not closed: if they use up
// the descriptors, its finding is the one to act on.
const closeWaitLeak = "close-wait-leak"

var (
	warnShare = &analysis.Param{Name: "warn-share", Unit: observe.Ratio, Default: 0.8, Enters: true,
		Doc: "Share of the soft limit from which a peak a quarter above the observed one fails. Netdata raises at 0.95 and clears at 0.85."}
	criticalShare = &analysis.Param{Name: "critical-share", Unit: observe.Ratio, Default: 0.95,
		Doc: "Share of the soft limit from which 5 % more connections are refused: 51 descriptors are left of 1024."}
	warnAhead = &analysis.Param{Name: "warn-ahead", Unit: observe.Seconds, Default: 24 * 3600,
		Doc: "Time until the limit is reached that is a warning: the horizon of node-mixin for filling resources."}
	criticalAhead = &analysis.Param{Name: "critical-ahead", Unit: observe.Seconds, Default: 3600,
		Doc: "Time until the limit is reached that is critical: a person on call needs that long."}
	farthest = &analysis.Param{Name: "farthest", Unit: observe.Count, Default: 60,
		Doc: "Number of windows for which a trend is extrapolated. The checkpointer of PostgreSQL opens files steadily for minutes, up to a bound: observed 206 windows from its limit; recorded leaks end within 25."}
	leastGain = &analysis.Param{Name: "least-gain", Unit: observe.Count, Default: 10,
		Doc: "Descriptors that must be added within the window by steady growth: a log, a few children or a handful of upstream connections are opened at any time."}
	unexplained = &analysis.Param{Name: "unexplained-share", Unit: observe.Ratio, Default: 2.0 / 3,
		Doc: "Share of the added descriptors that added connections must not explain: a server that opens a file per connection leaves half unexplained; the upstream side of a proxy is connections as well."}
)

func run(p *facts.Pass) []analysis.Finding {
	var fs []analysis.Finding
	for process := range p.Entities(catalog.ProcessFDs) {
		p.Checked()
		// What headroom itself keeps open goes away with it.
		if d, ok := p.Descriptors(process); ok && !p.IsObserver(process) {
			v := look(p, d)
			if severity := v.severity(p); severity > analysis.Healthy {
				fs = append(fs, v.finding(p, severity))
			}
		}
	}
	return append(fs, host(p)...)
}

func (v *view) finding(p *facts.Pass, severity analysis.Severity) analysis.Finding {
	return analysis.Finding{
		Cause:           v.cause,
		Severity:        severity,
		Confidence:      v.confidence(p),
		Impact:          v.impact(),
		Subject:         v.Process,
		Summary:         v.summary(p),
		Evidence:        v.evidence(p),
		Recommendations: v.advice(p),
		Forecast:        v.forecast(),
		Lost:            map[string]float64{closeWaitLeak: v.unclosed()},
		LostTotal:       v.risen(),
		Without:         func([]string) bool { return v.standsWithoutUnclosed(p) },
	}
}

func (v *view) severity(p *facts.Pass) analysis.Severity {
	end := v.end()
	near := v.near(p)
	switch {
	case v.Over() && !v.Exhausted():
		return analysis.Warning // the distance to the limit is not known
	case v.Exhausted(), v.Share() >= p.Param(criticalShare), near && end.At < p.Param(criticalAhead):
		return analysis.Critical
	case v.Share() >= p.Param(warnShare), near && end.Soonest() < p.Param(warnAhead):
		return analysis.Warning
	}
	return analysis.Healthy
}

// impact is the share of the window in which nothing could be opened. A future
// shortage has no impact yet, and ranks by its urgency.
func (v *view) impact() float64 {
	const refusedAtAll, ahead = 0.1, 0.5
	switch {
	case v.Refused > 0:
		return max(refusedAtAll, v.Pinned)
	case v.Exhausted():
		return v.Pinned
	}
	return ahead * min(1, v.Share())
}

// refusedCalls reports a counted event: calls failed because no descriptor was
// left.
func refusedCalls(f *analysis.Finding) bool {
	return slices.ContainsFunc(f.Evidence, func(e analysis.Evidence) bool {
		return e.Metric == catalog.ProcessFDRefused && e.Value > 0
	})
}
