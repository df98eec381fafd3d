// SPDX-License-Identifier: Apache-2.0

// Package pagecachethrash finds hosts and containers that read the same pages of
// files repeatedly, because their working set does not fit into memory.
package pagecachethrash

import (
	_ "embed"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

//go:embed doc.md
var doc string

// Analyzer is page-cache-thrash.
var Analyzer = &analysis.Analyzer{
	Name:     "page-cache-thrash",
	Title:    "Are files read repeatedly because memory is too small to cache them?",
	Doc:      doc,
	Category: analysis.CategoryCaching,
	Causes:   []string{tooLarge},
	Verbs:    []analysis.Verb{analysis.AddMemory},
	Needs:    []*observe.Metric{catalog.HostThrash, catalog.CgroupThrash},
	OneOf:    true,
	Wants: []*observe.Metric{catalog.HostRefaults, catalog.CgroupRefaults, catalog.DiskReads, catalog.DiskReadTime, catalog.DiskRead,
		catalog.HostIOSome, catalog.HostMemorySome, catalog.CgroupIOSome, catalog.CgroupMemorySome, catalog.HostMemoryCached, catalog.CgroupMemoryFile,
		catalog.CgroupMemoryLimit, catalog.ProcessDiskRead, catalog.ProcessListens},
	Params:     []*analysis.Param{warnCost, criticalCost},
	SymptomOf:  []string{memoryLimit},
	MinSeconds: 60,
	Slow:       true,
	Run:        facts.Run(run),
}

// memoryLimit explains the thrashing of a group if its own limit, or one around it,
// delays a service: then that limit is too low.
const memoryLimit = "memory-limit-pressure"

const tooLarge = "working-set-exceeds-memory"

var (
	warnCost = &analysis.Param{Name: "warn-cost", Unit: observe.Ratio, Default: 0.05, Enters: true,
		Doc: "Time spent reading pages of the working set again, as a share of the time: from here on more memory beats another cache. Overlapping reads add up, so it can exceed 100 %."}
	criticalCost = &analysis.Param{Name: "critical-cost", Unit: observe.Ratio, Default: 0.30,
		Doc: "Time spent reading pages of the working set again, as a share of the time, that is critical: the bound of disk pressure."}
)

func run(p *facts.Pass) []analysis.Finding {
	d := p.DiskReads()
	if d.Reads <= 0 {
		p.Checked() // nothing was read, so nothing was read again
		return nil
	}
	var fs []analysis.Finding
	inside := 0.0
	limited := groups(p, d)
	for _, s := range limited {
		p.Checked()
		if severity := s.severity(p); severity > analysis.Healthy {
			fs = append(fs, s.finding(p, severity))
		}
		if !s.isInside(p, limited) {
			inside += s.thrash // also below the bound: the host is not short of it
		}
	}
	if s, ok := host(p, d); ok {
		p.Checked()
		s.leave(inside)
		if severity := s.severity(p); severity > analysis.Healthy {
			fs = append(fs, s.finding(p, severity))
		}
	}
	return fs
}

func (s *scene) severity(p *facts.Pass) analysis.Severity {
	cost := s.cost()
	switch {
	case cost < p.Param(warnCost):
		return analysis.Healthy
	case !s.serves:
		return analysis.Info
	case cost >= p.Param(criticalCost):
		return analysis.Critical
	}
	return analysis.Warning
}

func (s *scene) finding(p *facts.Pass, severity analysis.Severity) analysis.Finding {
	lost := s.cost() * p.Seconds
	return analysis.Finding{
		Cause:           tooLarge,
		Severity:        severity,
		Confidence:      s.confidence(),
		Impact:          min(1, s.cost()),
		Subject:         s.id,
		Summary:         s.summary(p),
		Evidence:        s.evidence(p),
		Recommendations: []analysis.Recommendation{s.addMemory(p)},
		Lost:            map[string]float64{memoryLimit: lost},
		LostTotal:       lost,
		Without:         func([]string) bool { return false }, // without the limit the files would fit, or the host would thrash
	}
}

// confidence is that of a counted event if the kernel counts working-set pages of
// this group and its tasks wait. v1 does not count them by group, and the disk that
// a group reads from is not recorded.
func (s *scene) confidence() float64 {
	const counted, shared, unseen = 0.9, 0.75, 0.7
	switch {
	case s.shared, s.disk.Mixed:
		return shared
	case !s.pressed:
		return unseen
	}
	return counted
}
