// SPDX-License-Identifier: Apache-2.0

// Package memorylimitpressure finds memory limits that delay a service: its tasks
// reclaim pages, or read evicted pages again.
package memorylimitpressure

import (
	_ "embed"
	"fmt"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

//go:embed doc.md
var doc string

// Analyzer is memory-limit-pressure.
var Analyzer = &analysis.Analyzer{
	Name:     "memory-limit-pressure",
	Title:    "Does a memory limit delay a service?",
	Doc:      doc,
	Category: analysis.CategoryContainers,
	Causes:   []string{limitTooLow, pageCache},
	Verbs:    []analysis.Verb{analysis.RaiseMemoryLimit, analysis.FixLeak},
	Needs:    []*observe.Metric{catalog.CgroupMemoryUsage},
	Wants: []*observe.Metric{catalog.CgroupMemoryLimit, catalog.CgroupMemoryHigh, catalog.CgroupMaxEvents, catalog.CgroupHighEvents,
		catalog.CgroupMemorySome, catalog.CgroupMemoryFull, catalog.CgroupMemoryAnon, catalog.CgroupMemoryFile, catalog.CgroupMemoryShmem,
		catalog.CgroupMemoryInactiveFile, catalog.CgroupRefaults, catalog.CgroupThrash,
		catalog.DiskReads, catalog.DiskRead, catalog.DiskReadTime},
	Params:     []*analysis.Param{warnSome, criticalFull, warnRefault, readLatency, fullNeed, leakShare},
	MinSeconds: 60,
	Run:        facts.Run(run),
}

// Causes.
const (
	limitTooLow = "limit-too-low"
	pageCache   = "page-cache"
)

var (
	warnSome = &analysis.Param{Name: "warn-pressure", Unit: observe.Ratio, Default: 0.10, Enters: true,
		Doc: "Share of the window in which at least one task of the group waited for memory (PSI memory some): between the target of senpai (0.2 %) and the limit of systemd-oomd (60 %)."}
	criticalFull = &analysis.Param{Name: "critical-pressure", Unit: observe.Ratio, Default: 0.05,
		Doc: "Share of the window in which every task of the group waited for memory (PSI memory full): a twentieth of its work is lost."}
	warnRefault = &analysis.Param{Name: "refault-time", Unit: observe.Ratio, Default: 0.05, Enters: true,
		Doc: "Refaults per second times the time of a read: from a twentieth of the time on, a faster disk does not make up for it."}
	readLatency = &analysis.Param{Name: "read-latency", Unit: observe.Seconds, Default: 0.0001,
		Doc: "Assumed time of a read of one page where the disks show no such reads: that of an NVMe disk, so that a slower disk is underestimated and never overestimated."}
	fullNeed = &analysis.Param{Name: "full-need", Unit: observe.Ratio, Default: 0.85,
		Doc: "Share of the limit in memory that cannot be reclaimed, from which the limit is the cause and not the page cache: the rest turns over within seconds."}
	leakShare = &analysis.Param{Name: "leak-share", Unit: observe.Ratio, Default: 0.1,
		Doc: "Growth of memory within the window, as a share of the limit, from which the cause should be found before the limit is raised."}
)

func run(p *facts.Pass) []analysis.Finding {
	var fs []analysis.Finding
	disks := p.DiskReads()
	for cgroup := range p.Entities(catalog.CgroupMemoryUsage) {
		s, ok := look(p, cgroup, disks)
		if !ok {
			continue
		}
		p.Checked()
		if severity := s.severity(p); severity > analysis.Healthy {
			fs = append(fs, s.finding(p, severity))
		}
	}
	return fs
}

func (s *state) finding(p *facts.Pass, severity analysis.Severity) analysis.Finding {
	cause := pageCache
	if s.short(p) {
		cause = limitTooLow
	}
	return analysis.Finding{
		Cause:           cause,
		Severity:        severity,
		Confidence:      s.confidence(),
		Impact:          s.lost(),
		Subject:         s.cgroup,
		Summary:         s.summary(p, cause),
		Evidence:        s.evidence(p),
		Recommendations: s.advice(p, cause),
	}
}

const (
	// sure is the confidence in pressure that the kernel measured together with a
	// limit that was hit, unsure the confidence in refaults only (cgroup v1 without
	// pressure).
	sure, unsure = 0.9, 0.6
)

func (s *state) confidence() float64 {
	if s.pressed {
		return sure
	}
	return unsure
}

func (s *state) lost() float64 {
	if s.pressed {
		return max(s.full, s.some/2) // some: at least one task of several
	}
	return s.refaultTime
}

func (s *state) summary(p *facts.Pass, cause string) string {
	name := p.Name(s.cgroup)
	text := fmt.Sprintf("%s waited for memory %s of the time", name, analysis.Percent(s.some))
	if !s.pressed {
		text = fmt.Sprintf("%s read %s per second again that its limit had evicted", name, analysis.Bytes(s.refaults*facts.PageBytes))
	}
	text += fmt.Sprintf(": its %s is %s, ", s.what(), analysis.Bytes(s.bound))
	if cause == limitTooLow {
		if s.need > s.bound {
			return text + fmt.Sprintf("and it holds %s that cannot be reclaimed", analysis.Bytes(s.need))
		}
		return text + fmt.Sprintf("and %s of that cannot be reclaimed", analysis.Bytes(s.need))
	}
	return text + fmt.Sprintf("of which %s are left for files that it reads repeatedly", analysis.Bytes(max(0, s.bound-s.need)))
}

// what names the kind of the limit that was hit.
func (s *state) what() string {
	if s.high {
		return "memory.high"
	}
	return "memory limit"
}

func (s *state) evidence(p *facts.Pass) []analysis.Evidence {
	var e []analysis.Evidence
	if s.pressed {
		e = append(e,
			analysis.Evidence{Metric: catalog.CgroupMemorySome, Label: "share of the window", Value: s.some, Unit: observe.Ratio, Bound: analysis.Bound(p.Param(warnSome))},
			analysis.Evidence{Metric: catalog.CgroupMemoryFull, Label: "share of the window", Value: s.full, Unit: observe.Ratio, Bound: analysis.Bound(p.Param(criticalFull))})
	}
	hits, limit := catalog.CgroupMaxEvents, catalog.CgroupMemoryLimit
	if s.high {
		hits, limit = catalog.CgroupHighEvents, catalog.CgroupMemoryHigh
	}
	e = append(e,
		analysis.Evidence{Metric: hits, Value: s.hits, Unit: observe.Count, Bound: analysis.Bound(0)},
		analysis.Evidence{Metric: limit, Value: s.bound, Unit: observe.Bytes})
	if s.refaulted {
		e = append(e, analysis.Evidence{Metric: catalog.CgroupRefaults, Label: "rate", Value: s.refaults, Unit: "{page}/s"})
	}
	return e
}

func (s *state) advice(p *facts.Pass, cause string) []analysis.Recommendation {
	raise := s.raise(p, cause)
	grown, over, ok := p.MemoryGrowth(s.cgroup)
	if cause != limitTooLow || !ok || grown < p.Param(leakShare)*s.bound {
		return []analysis.Recommendation{raise}
	}
	return []analysis.Recommendation{{
		Verb:     analysis.FixLeak,
		Quantity: &analysis.Estimate{Value: grown / max(1, over), Unit: "bytes/s"},
		Action:   fmt.Sprintf("Find what makes %s grow: it took %s in %s", p.Name(s.cgroup), analysis.Bytes(grown), analysis.Ahead(over)),
		Verify:   "headroom.cgroup.memory.usage levels off under the same load",
		NotIf:    "it was starting up or loading data, and needs that much",
	}, raise}
}

func (s *state) raise(p *facts.Pass, cause string) analysis.Recommendation {
	name, to := p.Name(s.cgroup), s.wanted(cause)
	r := analysis.Recommendation{
		Verb:     analysis.RaiseMemoryLimit,
		Quantity: &analysis.Estimate{Value: to, Low: analysis.Bound(s.bound), Unit: "bytes"},
		Action:   p.RaiseMemoryLimit(s.cgroup, s.bound, to),
		Verify:   fmt.Sprintf("memory pressure of %s falls below %s of the time, and its refaults stop", name, analysis.Percent(p.Param(warnSome)/10)),
		Risk:     "other processes on the host get less memory",
		NotIf:    "the limit is meant to hold it back, or an outer cgroup has a lower limit",
	}
	if s.high {
		r.Action = fmt.Sprintf("Raise the memory.high of %s from %s to %s", name, analysis.Bytes(s.bound), analysis.Bytes(to))
		r.NotIf = "memory.high was set on purpose, to slow it down instead of killing it"
	}
	if s.pressed {
		r.Expect = []analysis.Expectation{{Metric: catalog.CgroupMemorySome, Label: "share of the window", From: s.some, To: min(s.some, p.Param(warnSome)/10), Unit: observe.Ratio}}
	}
	return r
}
