// SPDX-License-Identifier: Apache-2.0

// Package kernellimitexhaustion finds limits of the kernel that are reached or nearly
// reached, and what uses them up: processes and threads, zombies, inotify instances,
// memory mappings and neighbours. The calls that fail then report errors that do not name
// the limit.
package kernellimitexhaustion

import (
	_ "embed"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

//go:embed doc.md
var doc string

// Analyzer is kernel-limit-exhaustion.
var Analyzer = &analysis.Analyzer{
	Name:     "kernel-limit-exhaustion",
	Title:    "Is a limit or a table of the kernel used up?",
	Doc:      doc,
	Category: analysis.CategoryCapacity,
	Causes:   []string{pids, threads, zombies, inotify, mapCount, neighbourTable},
	Verbs:    []analysis.Verb{analysis.RaiseLimit, analysis.ReapChildren, analysis.FixLeak},
	Needs: []*observe.Metric{catalog.CgroupPids, catalog.HostTasks, catalog.ProcessUserTasks, catalog.InotifyInstanceLimit, catalog.MapLimit,
		catalog.NeighbourEntries4},
	OneOf: true,
	Wants: []*observe.Metric{catalog.CgroupPidsLimit, catalog.CgroupPidsRefused, catalog.HostThreadMax, catalog.HostPIDMax,
		catalog.ProcessThreads, catalog.ProcessZombies, catalog.ProcessUser, catalog.ProcessUserTaskLimit,
		catalog.ProcessInotify, catalog.ProcessWatches, catalog.ProcessUserInotify, catalog.ProcessUserWatches, catalog.InotifyWatchLimit,
		catalog.ProcessMaps, catalog.NeighbourEntries6, catalog.NeighbourLimit4, catalog.NeighbourLimit6,
		catalog.NeighbourExempt4, catalog.NeighbourExempt6, catalog.NeighbourRefused4, catalog.NeighbourRefused6, catalog.ProcessAge},
	Params:     []*analysis.Param{warnShare, criticalShare, leastLimit, warnAhead, criticalAhead, farthest, leastGain, trendShare, trendWindow},
	MinSeconds: 60,
	Fact:       wasRefused,
	Run:        run,
}

// Causes.
const (
	pids           = "pids"
	threads        = "threads"
	zombies        = "zombies"
	inotify        = "inotify"
	mapCount       = "map-count"
	neighbourTable = "neighbour-table"
)

var (
	warnShare = &analysis.Param{Name: "warn-share", Unit: observe.Ratio, Default: 0.8, Enters: true,
		Doc: "Share of a limit from which a peak a quarter above the observed one fails, as for file descriptors."}
	criticalShare = &analysis.Param{Name: "critical-share", Unit: observe.Ratio, Default: 0.95,
		Doc: "Share that is critical where the kernel does not count refused calls. Where it counts them, only a refused call is."}
	leastLimit = &analysis.Param{Name: "least-limit", Unit: observe.Count, Default: 32,
		Doc: "Lower limits are reported only if a call was refused: hardened services set TasksMax= to the number of threads that they have."}
	warnAhead = &analysis.Param{Name: "warn-ahead", Unit: observe.Seconds, Default: 24 * 3600,
		Doc: "Time until the limit is reached that is a warning: the horizon of node-mixin for filling resources."}
	criticalAhead = &analysis.Param{Name: "critical-ahead", Unit: observe.Seconds, Default: 3600,
		Doc: "Time until the limit is reached that is critical: a person on call needs that long."}
	farthest = &analysis.Param{Name: "farthest", Unit: observe.Count, Default: 60,
		Doc: "Number of windows for which a trend is extrapolated, as for file descriptors."}
	leastGain = &analysis.Param{Name: "least-gain", Unit: observe.Count, Default: 10,
		Doc: "What steady growth must add within the window: a few processes are started at any time."}
	trendShare = &analysis.Param{Name: "trend-share", Unit: observe.Ratio, Default: 1.0 / 3,
		Doc: "Share of a limit that must be in use before growth is reported: a service that starts, or a load that rises, adds threads for minutes. It does not apply to zombies, which no healthy program adds."}
	trendWindow = &analysis.Param{Name: "trend-window", Unit: observe.Seconds, Default: 5400,
		Doc: "The shortest of three windows in which growth over hours is searched; the others are four and sixteen times as long, as for memory."}
)

func run(p *analysis.Pass) []analysis.Finding {
	var fs []analysis.Finding
	var all []*table
	for _, tables := range []func(*analysis.Pass) []*table{cgroups, hostTasks, userTasks, inotifyTables, maps, neighbours, unreaped} {
		all = append(all, tables(p)...)
	}
	found := make(map[observe.ID]bool) // the entity that carries the limit
	for _, t := range all {
		p.Checked()
		t.measure(p)
		severity := t.severity(p)
		if severity == analysis.Healthy || t.within != observe.None && found[t.within] {
			continue
		}
		found[t.about] = true
		fs = append(fs, t.finding(p, severity))
	}
	return fs
}

// wasRefused reports a counted event: the kernel refused something.
func wasRefused(f *analysis.Finding) bool {
	for _, e := range f.Evidence {
		if e.Label == refusedLabel && e.Value > 0 {
			return true
		}
	}
	return false
}
