// SPDX-License-Identifier: Apache-2.0

package memorygrowth

import (
	"fmt"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

const (
	// plain is the confidence without history; collected the confidence for a runtime
	// with a garbage collector, whose next full collection can undo the growth.
	plain, collected = 0.4, 0.3
	// ahead is the impact of a limit that is not reached yet.
	ahead = 0.1
)

// collectors are the runtimes with a garbage collector.
var collectors = map[string]bool{"node": true, "jvm": true, "go": true, "dotnet": true, "ruby": true, "bun": true, "deno": true, "beam": true}

// caches are programs that fill memory on purpose.
var caches = map[string]bool{"redis": true}

func (g grower) finding(p *facts.Pass) analysis.Finding {
	runtime := p.Attr(g.id, catalog.AttrRuntime)
	f := analysis.Finding{
		Cause: leak, Severity: analysis.Info, Confidence: plain, Impact: ahead, Subject: g.id,
		Summary:         g.summary(p),
		Evidence:        g.evidence(),
		Forecast:        &analysis.Forecast{What: "memory limit of " + p.Name(g.room.Whose), At: g.left},
		Recommendations: []analysis.Recommendation{g.fix(p), g.restart(p)},
	}
	if g.files {
		f.Recommendations[0] = g.tidy(p)
	}
	if caches[runtime] {
		f.Cause = cache
		f.Recommendations = []analysis.Recommendation{g.bound(p), g.restart(p)}
	}
	if collectors[runtime] {
		f.Confidence = collected
		f.Recommendations[0].NotIf = "a full collection takes it back: force one, or wait for it, before searching"
	}
	return f
}

func (g grower) summary(p *facts.Pass) string {
	what := "has grown"
	if g.files {
		what = "fills its tmpfs and shared memory: it has grown"
	}
	return fmt.Sprintf("%s %s by %s in %s, to %s: at %s %s the %s of %s are full in %s",
		p.Name(g.id), what, analysis.Bytes(g.Rate*g.Span), analysis.Seconds(g.Span), analysis.Bytes(g.To),
		analysis.Bytes(g.pace(g.Rate)), g.per(), analysis.Bytes(g.room.Limit), p.Name(g.room.Whose), analysis.Ahead(g.left))
}

// pace converts a rate to a rate per minute, or, for growth over hours, per hour;
// per is the unit.
func (g grower) pace(rate float64) float64 {
	if g.Span < fewMinutes {
		return 60 * rate
	}
	return 3600 * rate
}

func (g grower) per() string {
	if g.Span < fewMinutes {
		return "a minute"
	}
	return "an hour"
}

const fewMinutes = 600

func (g grower) evidence() []analysis.Evidence {
	return []analysis.Evidence{
		{Metric: g.metric, Value: g.To, Unit: observe.Bytes},
		{Metric: g.metric, Label: "growth per second", Value: g.Rate, Unit: observe.Bytes},
		{Metric: g.limitMetric(), Value: g.room.Limit, Unit: observe.Bytes},
		{Metric: g.limitMetric(), Label: "left", Value: g.room.Left(), Unit: observe.Bytes},
	}
}

func (g grower) limitMetric() *observe.Metric {
	if g.ofHost {
		return catalog.MemoryTotal
	}
	return catalog.CgroupMemoryLimit
}

func (g grower) fix(p *facts.Pass) analysis.Recommendation {
	where := fmt.Sprintf("compare two heap profiles, taken %s apart at this rate", analysis.Bytes(g.pace(g.Rate)))
	if heap, bounded := p.OutsideHeap(g.id, g.To+g.room.Left()); bounded {
		where += fmt.Sprintf(", and look outside of its heap, whose maximum is %s: %s; a higher heap limit does not help", analysis.Bytes(heap.Limit), heap.Holds)
	}
	return analysis.Recommendation{
		Verb:     analysis.FixLeak,
		Quantity: &analysis.Estimate{Value: g.pace(g.Rate) / (1 << 20), Unit: "MiB " + g.per()},
		Action:   fmt.Sprintf("Find what %s keeps in memory: %s", p.Name(g.id), where),
		Verify:   fmt.Sprintf("%s of %s stays level for an hour", g.metric.Name, p.Name(g.id)),
		Risk:     "a heap snapshot can take as much memory again, and stops the process while it is written",
		NotIf:    "it is warming up, or fills a bounded cache: then observe longer (--duration 5m)",
		Expect:   []analysis.Expectation{{Metric: g.metric, Label: "growth per second", From: g.Rate, To: 0, Unit: observe.Bytes}},
	}
}

// tidy is the recommendation for files in memory, which no heap profile shows.
func (g grower) tidy(p *facts.Pass) analysis.Recommendation {
	r := g.fix(p)
	r.Action = fmt.Sprintf("Find what %s leaves in its tmpfs mounts and shared memory (df -t tmpfs, ipcs -m), set a size for the mounts, or move the files to a disk", p.Name(g.id))
	r.Risk = "writes to the mount fail once its size is reached"
	r.NotIf = "the files are removed after a while: then observe longer (--duration 5m)"
	return r
}

// bound is the recommendation for a program that is a cache.
func (g grower) bound(p *facts.Pass) analysis.Recommendation {
	const share = 0.75 // of the limit: saving needs a copy of the pages that change meanwhile
	to := share * g.room.Limit
	r := g.fix(p)
	r.Quantity = &analysis.Estimate{Value: to / (1 << 20), Unit: "MiB"}
	r.Action = fmt.Sprintf("Bound the data of %s to %s (maxmemory), three quarters of the limit of %s", p.Name(g.id), analysis.Bytes(to), p.Name(g.room.Whose))
	r.Risk = "it evicts keys or refuses writes, depending on maxmemory-policy"
	r.NotIf = "maxmemory is already set below the limit"
	return r
}

func (g grower) restart(p *facts.Pass) analysis.Recommendation {
	return analysis.Recommendation{
		Verb:     analysis.RestartBefore,
		Quantity: &analysis.Estimate{Value: g.left, Unit: "s"},
		Action:   fmt.Sprintf("Restart %s within %s if it keeps growing at this rate: an OOM kill comes without a warning", p.Name(g.id), analysis.Ahead(g.left)),
		Verify:   fmt.Sprintf("%s of %s starts again far below %s", g.metric.Name, p.Name(g.id), analysis.Bytes(g.room.Limit)),
		Risk:     "it buys time: memory grows again after the restart",
		NotIf:    "its memory stops growing before that",
	}
}
