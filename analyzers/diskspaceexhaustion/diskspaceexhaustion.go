// SPDX-License-Identifier: Apache-2.0

// Package diskspaceexhaustion finds file systems that have no space or no inodes left, or
// will soon have none, and what fills them: files that grow, and deleted files that a
// process still has open.
package diskspaceexhaustion

import (
	_ "embed"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

//go:embed doc.md
var doc string

// Analyzer is disk-space-exhaustion.
var Analyzer = &analysis.Analyzer{
	Name:     "disk-space-exhaustion",
	Title:    "Does a file system run out of space or inodes?",
	Doc:      doc,
	Category: analysis.CategoryCapacity,
	Causes:   []string{growth, inodes, deletedButOpen},
	Verbs:    []analysis.Verb{analysis.FreeSpace, analysis.RotateLogs, analysis.EnlargeDisk},
	Needs:    []*observe.Metric{catalog.FilesystemUsed, catalog.FilesystemFree},
	Wants: []*observe.Metric{catalog.FilesystemReserved, catalog.FilesystemInodesUsed, catalog.FilesystemInodesFree, catalog.FilesystemDeleted,
		catalog.OpenFilesSize, catalog.OpenFilesDeleted, catalog.ProcessDiskWritten},
	Params:     []*analysis.Param{warnShare, criticalShare, muchFree, warnAhead, criticalAhead, farthest, trendShare, trendWindow},
	MinSeconds: 60,
	Slow:       true,
	Fact:       isFull,
	Run:        run,
}

// Causes.
const (
	growth         = "growth"
	inodes         = "inodes"
	deletedButOpen = "deleted-but-open"
)

var (
	warnShare = &analysis.Param{Name: "warn-share", Unit: observe.Ratio, Default: 0.95, Enters: true,
		Doc: "Share of the space or inodes in use that is a warning without growth, as in node-mixin (NodeFilesystemAlmostOutOfSpace)."}
	criticalShare = &analysis.Param{Name: "critical-share", Unit: observe.Ratio, Default: 0.99,
		Doc: "Share that is critical without growth. node-mixin uses 0.97; a volume that a database filled on purpose stays below 0.99."}
	muchFree = &analysis.Param{Name: "much-free", Unit: observe.Bytes, Default: 20 << 30,
		Doc: "Free space from which the share alone is no finding: 5 % of a disk of 10 TB are 500 GB."}
	warnAhead = &analysis.Param{Name: "warn-ahead", Unit: observe.Seconds, Default: 24 * 3600,
		Doc: "Time until the file system is full that is a warning: the horizon of node-mixin (NodeFilesystemSpaceFillingUp)."}
	criticalAhead = &analysis.Param{Name: "critical-ahead", Unit: observe.Seconds, Default: 4 * 3600,
		Doc: "Time until the file system is full that is critical, as in node-mixin."}
	farthest = &analysis.Param{Name: "farthest", Unit: observe.Count, Default: 60,
		Doc: "Number of windows for which a trend is extrapolated, as for file descriptors."}
	trendShare = &analysis.Param{Name: "trend-share", Unit: observe.Ratio, Default: 0.5,
		Doc: "Share that must be in use before growth is reported: an import or a build writes for minutes, and a disk has room for it."}
	trendWindow = &analysis.Param{Name: "trend-window", Unit: observe.Seconds, Default: 5400,
		Doc: "The shortest of three windows in which growth over hours is searched; the others are four and sixteen times as long, as for memory."}
)

func run(p *analysis.Pass) []analysis.Finding {
	var fs []analysis.Finding
	for id := range p.Entities(catalog.FilesystemUsed) {
		p.Checked()
		for _, of := range []struct {
			cause      string
			used, free *observe.Metric
		}{{growth, catalog.FilesystemUsed, catalog.FilesystemFree}, {inodes, catalog.FilesystemInodesUsed, catalog.FilesystemInodesFree}} {
			v, ok := look(p, id, of.cause, of.used, of.free)
			if !ok {
				continue
			}
			if severity := v.severity(p); severity > analysis.Healthy {
				fs = append(fs, v.finding(p, severity))
			}
		}
	}
	return fs
}

// fullLabel is the label of the evidence that nothing is left.
const fullLabel = "share of the readings without free space"

// isFull reports a counted event: nothing was left.
func isFull(f *analysis.Finding) bool {
	for _, e := range f.Evidence {
		if e.Label == fullLabel && e.Value > 0 {
			return true
		}
	}
	return false
}
