// SPDX-License-Identifier: Apache-2.0

// Package disksaturated finds disks whose requests wait for one another, the
// programs that fill them, and the programs that are delayed.
package disksaturated

import (
	_ "embed"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

//go:embed doc.md
var doc string

// Analyzer is disk-saturated.
var Analyzer = &analysis.Analyzer{
	Name:     "disk-saturated",
	Title:    "Do requests wait for a saturated disk?",
	Doc:      doc,
	Category: analysis.CategoryCapacity,
	Causes:   []string{latency, throughput},
	Verbs:    []analysis.Verb{analysis.AddNodes, analysis.AddCache, analysis.AddMemory},
	Needs:    []*observe.Metric{catalog.DiskQueueTime},
	Wants: []*observe.Metric{catalog.DiskBusy, catalog.DiskReads, catalog.DiskWrites, catalog.DiskReadTime, catalog.DiskWriteTime,
		catalog.DiskRead, catalog.DiskWritten, catalog.DiskRotational, catalog.HostIOSome, catalog.HostIOFull, catalog.CgroupIOSome,
		catalog.ProcessDiskWaiting, catalog.ProcessDiskRead, catalog.ProcessDiskWritten, catalog.ProcessListens,
		catalog.LongBlockedBy, catalog.HostThrash},
	Params:     []*analysis.Param{busyDisk, crowdedDisk, slowRequest, slowerThanBest, warnPressure, criticalPressure, fullPressure, waitingShare},
	SymptomOf:  []string{"page-cache-thrash"},
	MinSeconds: 60,
	Slow:       true,
	Run:        facts.Run(run),
}

// Causes.
const (
	latency    = "latency"
	throughput = "throughput"
)

var (
	busyDisk = &analysis.Param{Name: "busy-disk", Unit: observe.Ratio, Default: 0.8,
		Doc: "Share of the window in which the disk had a request. Necessary and not sufficient: a disk that handles 64 requests at a time has room while it has one."}
	crowdedDisk = &analysis.Param{Name: "crowded-disk", Unit: observe.Count, Default: 2,
		Doc: "Mean number of requests in flight from which a new request waits for others. One program that reads sequentially keeps one request in flight and delays no other."}
	slowRequest = &analysis.Param{Name: "slow-request", Unit: observe.Seconds, Default: 0.010,
		Doc: "Mean time of a request that means queueing on a disk without moving parts: flash answers in 0.1 ms, a network disk in 1 ms. Twice that for a rotational disk, which takes 10 ms to find a track."}
	slowerThanBest = &analysis.Param{Name: "slower-than-best", Unit: observe.Ratio, Default: 3,
		Doc: "How many times longer requests take than in the best second of the window, from which two thirds of their time is waiting. Applies from a millisecond on."}
	warnPressure = &analysis.Param{Name: "warn-pressure", Unit: observe.Ratio, Default: 0.10, Enters: true,
		Doc: "Share of the window in which at least one task of the host or service waited for a disk (PSI io some): between the target of senpai (0.2 %) and the limit of systemd-oomd (60 %, for memory)."}
	criticalPressure = &analysis.Param{Name: "critical-pressure", Unit: observe.Ratio, Default: 0.30,
		Doc: "PSI io some that is critical, if a service waits and PSI io full is above its bound."}
	fullPressure = &analysis.Param{Name: "full-pressure", Unit: observe.Ratio, Default: 0.05,
		Doc: "PSI io full that critical requires: the share in which every task that had work waited for a disk."}
	waitingShare = &analysis.Param{Name: "waiting-share", Unit: observe.Ratio, Default: 0.10,
		Doc: "Share of the time that a program waits for disks from which it is a victim: the bound on pressure, for one program."}
)

func run(p *facts.Pass) []analysis.Finding {
	var full []state
	for id := range p.Entities(catalog.DiskQueueTime) {
		p.Checked()
		if s := look(p, id); s.saturated(p) {
			full = append(full, s)
		}
	}
	var fs []analysis.Finding
	for _, s := range full {
		if s.standsOnFull(p, full) {
			continue
		}
		s.parties = partiesOf(p, s)
		if severity := s.severity(p); severity > analysis.Healthy {
			fs = append(fs, s.finding(p, severity))
		}
	}
	return fs
}

// severity depends on which programs wait: a batch job that has a disk for itself
// is normal.
func (s *state) severity(p *facts.Pass) analysis.Severity {
	if len(s.served(p)) == 0 {
		if s.pressed && s.some < p.Param(warnPressure) {
			return analysis.Healthy
		}
		return analysis.Info
	}
	if s.some >= p.Param(criticalPressure) && s.full >= p.Param(fullPressure) {
		return analysis.Critical
	}
	return analysis.Warning
}

func (s *state) finding(p *facts.Pass, severity analysis.Severity) analysis.Finding {
	f := analysis.Finding{
		Cause:      s.cause(),
		Severity:   severity,
		Confidence: s.confidence(),
		Impact:     s.impact(p),
		Subject:    s.id,
		Summary:    s.summary(p),
		Evidence:   s.evidence(p),
		Blame:      s.blame(),
		LostTotal:  s.queue * p.Seconds,
		Lost:       map[string]float64{"page-cache-thrash": s.thrash(p) * s.queue * p.Seconds},
		Without:    func([]string) bool { return s.queue*(1-s.thrash(p)) >= p.Param(crowdedDisk) },
	}
	s.advise(p, &f)
	return f
}

// impact is the share of the window for which the program that waits most waited; a
// tenth of it for a batch job, since no client waits for it.
func (s *state) impact(p *facts.Pass) float64 {
	const nobodys = 0.1
	worst := 0.0
	for _, v := range s.served(p) {
		worst = max(worst, v.late)
	}
	if worst == 0 {
		return nobodys * s.some
	}
	return min(1, worst)
}

// confidence is high if both the queue and the waiting programs were observed.
func (s *state) confidence() float64 {
	const both, one, best = 0.9, 0.75, 0.6
	switch {
	case s.pressed && s.watched:
		return both
	case s.pressed || s.watched:
		return one
	}
	return best
}
