// SPDX-License-Identifier: Apache-2.0

// Package conntrackexhaustion finds connection tracking tables that are full or
// nearly full: new connections are then dropped before any program sees them.
package conntrackexhaustion

import (
	_ "embed"
	"fmt"
	"math"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/capacity"
)

//go:embed doc.md
var doc string

// Analyzer is conntrack-exhaustion.
var Analyzer = &analysis.Analyzer{
	Name:     "conntrack-exhaustion",
	Title:    "Is the connection tracking table full?",
	Doc:      doc,
	Category: analysis.CategoryConnections,
	Causes:   []string{tableFull},
	Verbs:    []analysis.Verb{analysis.RaiseConntrack},
	Needs:    []*observe.Metric{catalog.ConntrackCount, catalog.ConntrackLimit},
	Wants:    []*observe.Metric{catalog.ConntrackDrops, catalog.ConntrackEvictions},
	Params:   []*analysis.Param{warnShare, criticalShare, margin, entryBytes},
	Run:      run,
}

const tableFull = "table-full"

var (
	warnShare = &analysis.Param{Name: "warn-share", Unit: observe.Ratio, Default: 0.75, Enters: true,
		Doc: "Share of the table in use: node-mixin warns above 75 %, Netdata above 90 %. A single burst can fill the rest."}
	criticalShare = &analysis.Param{Name: "critical-share", Unit: observe.Ratio, Default: 0.90,
		Doc: "Share of the table in use that is critical, as in node-problem-detector. A packet dropped because the table is full is critical at any share."}
	margin = &analysis.Param{Name: "margin", Unit: observe.Ratio, Default: 1.5,
		Doc: "New limit per connection at the peak: in the agent the peak of the last seven days. The peak of a short window is lower than that of a day."}
	entryBytes = &analysis.Param{Name: "entry-bytes", Unit: observe.Bytes, Default: 320,
		Doc: "Memory per connection: nf_conn is 256 bytes, and its extensions (NAT, timestamps, labels) add to it."}
)

func run(p *analysis.Pass) []analysis.Finding {
	node, ok := p.Node()
	if !ok {
		return nil
	}
	_, peak, okPeak := p.Range(catalog.ConntrackCount, node)
	limit, okLimit := p.Last(catalog.ConntrackLimit, node)
	if !okPeak || !okLimit || limit <= 0 {
		p.Skip("the connection tracking table has no limit", catalog.ConntrackLimit)
		return nil
	}
	p.Checked()
	t := table{
		node: node, seen: peak, peak: peak, limit: limit,
		dropped: p.IncreaseOr0(catalog.ConntrackDrops, node), evicted: p.IncreaseOr0(catalog.ConntrackEvictions, node),
	}
	// Only a table at its limit evicts connections (early_drop in
	// nf_conntrack_core.c), possibly between two readings.
	if t.evicted > 0 {
		t.peak = max(peak, limit)
	}
	switch {
	case t.share() >= p.Param(criticalShare):
		return []analysis.Finding{t.finding(p, analysis.Critical)}
	case t.share() > p.Param(warnShare):
		return []analysis.Finding{t.finding(p, analysis.Warning)}
	}
	return nil
}

// A table is the connection tracking table of the host's namespace.
type table struct {
	node             observe.ID
	seen             float64 // highest reading
	peak, limit      float64
	dropped, evicted float64
}

// fullFrom is the share above which the kernel evicts unfinished connections from a
// table that was full (nf_conntrack_max95).
const fullFrom = 0.95

func (t table) full() bool { return t.share() >= fullFrom }

func (t table) share() float64 { return t.peak / t.limit }

func (t table) finding(p *analysis.Pass, severity analysis.Severity) analysis.Finding {
	const counted = 0.95
	f := analysis.Finding{
		Cause:      tableFull,
		Severity:   severity,
		Confidence: counted,
		Impact:     min(1, t.share()),
		Subject:    t.node,
		Summary:    t.summary(p),
		Evidence: []analysis.Evidence{
			{Metric: catalog.ConntrackCount, Label: "share of the table", Value: t.share(), Unit: observe.Ratio, Bound: analysis.Bound(p.Param(warnShare))},
		},
		Recommendations: []analysis.Recommendation{t.raise(p)},
		Forecast:        t.forecast(p),
	}
	if p.Has(catalog.ConntrackDrops) {
		f.Evidence = append(f.Evidence, analysis.Evidence{Metric: catalog.ConntrackDrops, Label: "packets", Value: t.dropped, Unit: observe.Count, Bound: analysis.Bound(0)})
	}
	return f
}

func (t table) summary(p *analysis.Pass) string {
	use := fmt.Sprintf("%.0f of %.0f entries are in use (%s)", t.peak, t.limit, analysis.Percent(t.share()))
	if t.seen < fullFrom*t.limit && t.evicted > 0 {
		use = fmt.Sprintf("all of its %.0f entries were in use between two readings, and at most %.0f at a reading", t.limit, t.seen)
	}
	// A packet is also dropped if memory is short, if it raced with another packet of
	// its connection, or if it belongs to none; with a full table the drop is
	// attributed to the table.
	switch {
	case t.dropped > 0 && t.full():
		return fmt.Sprintf("%s dropped %s of new connections: its connection tracking table is full, %s",
			p.Name(t.node), analysis.Number(t.dropped, "packet", "packets"), use)
	case t.evicted > 0:
		return fmt.Sprintf("%s evicted %s for new ones: its connection tracking table is full, %s",
			p.Name(t.node), analysis.Number(t.evicted, "unfinished connection", "unfinished connections"), use)
	}
	return fmt.Sprintf("%s will soon refuse new connections: its connection tracking table is filling, %s", p.Name(t.node), use)
}

func (t table) raise(p *analysis.Pass) analysis.Recommendation {
	peak := p.WeeksPeak(catalog.ConntrackCount, t.node, t.peak)
	to := max(t.limit, math.Ceil(peak*p.Param(margin)))
	more := (to - t.limit) * p.Param(entryBytes)
	return analysis.Recommendation{
		Verb:     analysis.RaiseConntrack,
		Quantity: &analysis.Estimate{Value: to, Low: analysis.Bound(peak / p.Param(warnShare)), Unit: "entries"},
		Action: fmt.Sprintf("Raise net.netfilter.nf_conntrack_max from %.0f to %.0f, which takes up to %s more memory, and nf_conntrack_buckets to the same",
			t.limit, to, analysis.Bytes(more)),
		Verify: fmt.Sprintf("headroom.conntrack.count stays below %s of headroom.conntrack.limit, and headroom.conntrack.dropped stops growing", analysis.Percent(p.Param(warnShare))),
		Risk:   "kernel memory cannot be swapped out",
		NotIf:  "most entries belong to idle connections: then lower nf_conntrack_tcp_timeout_established (five days by default), or do not track connections that need no NAT",
		Expect: []analysis.Expectation{{Metric: catalog.ConntrackCount, Label: "share of the table", From: t.share(), To: peak / to, Unit: observe.Ratio}},
	}
}

// leastZ is the threshold above which a trend is significant (docs/science.md,
// Windows and trends).
const leastZ = 2.6

func (t table) forecast(p *analysis.Pass) *analysis.Forecast {
	last, _ := p.Last(catalog.ConntrackCount, t.node)
	left := t.limit - last
	trend, ok := capacity.TrendOf(analysis.Split(p.Points(catalog.ConntrackCount, t.node)))
	if !ok || left <= 0 || trend.Z < leastZ || trend.Low <= 0 {
		return nil
	}
	return &analysis.Forecast{What: "connection tracking table", At: left / trend.Slope, Low: analysis.Bound(left / trend.High), High: analysis.Bound(left / trend.Low)}
}
