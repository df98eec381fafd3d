// SPDX-License-Identifier: Apache-2.0

package diskspaceexhaustion

import (
	"fmt"
	"math"
	"path"
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

func (v *view) what() string {
	if v.metric == catalog.FilesystemInodesUsed {
		return "inodes"
	}
	return "space"
}

// amount formats bytes or inodes.
func (v *view) amount(n float64) string {
	if v.what() == "inodes" {
		return analysis.Number(n, "inode", "inodes")
	}
	return analysis.Bytes(n)
}

func (v *view) summary(p *analysis.Pass) string {
	use := fmt.Sprintf("%s of %s are used (%s)", analysis.Bytes(v.used), analysis.Bytes(v.used+v.free), analysis.Percent(v.share()))
	if v.what() == "inodes" {
		use = fmt.Sprintf("%.0f of %.0f inodes are used (%s)", v.used, v.used+v.free, analysis.Percent(v.share()))
	}
	switch end := v.end(); {
	case v.isFull():
		return fmt.Sprintf("programs cannot write to %s: no %s is left, %s%s", v.name, strings.TrimSuffix(v.what(), "s"), use, v.who(p))
	case end != nil:
		return fmt.Sprintf("%s has no %s left in %s: %s, and %s per %s are added%s", v.name, v.what(), analysis.Ahead(end.At), use, v.amount(v.rate()), v.per(), v.who(p))
	}
	return fmt.Sprintf("%s has %s left: %s%s", v.name, v.amount(v.free), use, v.who(p))
}

// per and rate give a growth in a unit that is readable.
func (v *view) per() string {
	if v.climb != nil {
		return "hour"
	}
	return "second"
}

func (v *view) rate() float64 {
	const hour = 3600
	if v.climb != nil {
		return v.growth.Slope * hour
	}
	return v.growth.Slope
}

// most is the share from which a process is named.
const most = 0.5

// who names the process that fills the file system.
func (v *view) who(p *analysis.Pass) string {
	switch {
	case v.cause == deletedButOpen:
		text := fmt.Sprintf("; %s of it are deleted files that are still open", analysis.Bytes(v.deleted))
		if len(v.by) > 0 && v.by[0].bytes >= most*v.deleted {
			text += " in " + p.Name(v.by[0].process)
		}
		return text
	case v.grower(p) != nil:
		return fmt.Sprintf("; %s of that goes to %s, which %s writes", analysis.Percent(min(1, v.by[0].bytes/v.whole(p))), v.by[0].path, p.Name(v.by[0].process))
	}
	if writer, rate := v.writer(p); writer != observe.None {
		return fmt.Sprintf("; %s writes %s per second to disks", p.Name(writer), analysis.Bytes(rate))
	}
	return ""
}

// grower returns the process whose open files are most of the growth, nil if there is none.
func (v *view) grower(p *analysis.Pass) *holder {
	if v.cause != growth || !v.growing || v.climb != nil || len(v.by) == 0 || v.by[0].bytes < most*v.whole(p) {
		return nil
	}
	return &v.by[0]
}

// writer returns the process that writes at half of the growth or more. Files in memory
// (tmpfs) are not counted as writes to a disk.
func (v *view) writer(p *analysis.Pass) (writer observe.ID, rate float64) {
	writer = observe.None
	if v.cause != growth || !v.growing || v.climb != nil || v.kind == "tmpfs" {
		return writer, 0
	}
	for process := range p.Entities(catalog.ProcessDiskWritten) {
		if r, ok := p.Rate(catalog.ProcessDiskWritten, process); ok && r > rate && r >= most*v.growth.Slope {
			writer, rate = process, r
		}
	}
	return writer, rate
}

func (v *view) evidence(p *analysis.Pass) []analysis.Evidence {
	unit := v.metric.Unit
	e := []analysis.Evidence{
		{Metric: v.metric, Label: "share in use", Value: v.share(), Unit: observe.Ratio, Bound: analysis.Bound(p.Param(warnShare))},
		{Metric: v.metric, Label: "used", Value: v.used, Unit: unit},
		{Metric: v.metric, Label: "free", Value: v.free, Unit: unit},
	}
	if v.isFull() {
		e = append(e, analysis.Evidence{Metric: v.metric, Label: fullLabel, Value: v.pinned, Unit: observe.Ratio, Bound: analysis.Bound(0)})
	}
	if v.growing {
		e = append(e, analysis.Evidence{Metric: v.metric, Label: "gained", Value: v.growth.Gain, Unit: unit})
	}
	if v.deleted > 0 {
		e = append(e, analysis.Evidence{Metric: catalog.FilesystemDeleted, Label: "deleted files that are open", Value: v.deleted, Unit: observe.Bytes})
	}
	if reserved, ok := p.Last(catalog.FilesystemReserved, v.fs); ok && reserved > 0 && v.what() == "space" {
		e = append(e, analysis.Evidence{Metric: catalog.FilesystemReserved, Label: "reserved for root", Value: reserved, Unit: observe.Bytes})
	}
	return e
}

func (v *view) advice(p *analysis.Pass) []analysis.Recommendation {
	enlarge := v.enlarge(p)
	switch {
	case v.cause == deletedButOpen:
		return []analysis.Recommendation{v.closeDeleted(p)}
	case v.cause == inodes:
		return []analysis.Recommendation{v.removeFiles()}
	}
	if h := v.grower(p); h != nil && isLog(h.path) {
		return []analysis.Recommendation{v.rotate(p, h), enlarge}
	}
	return []analysis.Recommendation{v.freeSpace(p), enlarge}
}

// isLog reports whether a path is that of a log.
func isLog(file string) bool {
	base := path.Base(file)
	return strings.HasSuffix(base, ".log") || strings.Contains(base, ".log.") || strings.Contains(file, "/log/") || strings.Contains(file, "/logs/")
}

func (v *view) expect(metric *observe.Metric, label string, from, to float64, unit observe.Unit) []analysis.Expectation {
	return []analysis.Expectation{{Metric: metric, Label: label, From: from, To: to, Unit: unit}}
}

func (v *view) closeDeleted(p *analysis.Pass) analysis.Recommendation {
	holders := "the processes that have them open"
	if len(v.by) > 0 && v.by[0].bytes >= most*v.deleted {
		holders = p.Name(v.by[0].process)
	}
	return analysis.Recommendation{
		Verb: analysis.FreeSpace, Quantity: &analysis.Estimate{Value: v.deleted, Unit: "bytes"},
		Action: fmt.Sprintf("Restart %s, or make it reopen its files (a log after rotation: the signal in its manual, or copytruncate in logrotate): %s of deleted files are freed when they are closed", holders, analysis.Bytes(v.deleted)),
		Verify: "df shows the space as free, and lsof +L1 " + v.mountpoint + " lists no deleted file",
		Risk:   "the content of the deleted files is lost when they are closed: copy it from /proc/PID/fd if it is needed",
		NotIf:  "the program uses them as temporary files: then they shrink with its work, and the file system must be larger",
		Expect: v.expect(v.metric, "share in use", v.share(), (v.used-v.deleted)/(v.used+v.free), observe.Ratio),
	}
}

// target is the share in use after an advice: 80 % leave time to act.
const target = 0.8

func (v *view) rotate(p *analysis.Pass, h *holder) analysis.Recommendation {
	const hour = 3600
	return analysis.Recommendation{
		Verb: analysis.RotateLogs,
		Action: fmt.Sprintf("Rotate %s, which %s writes, by size (size and rotate in logrotate, with copytruncate if it cannot reopen the file), and lower its log level if %s per second are not needed",
			h.path, p.Name(h.process), v.amount(v.growth.Slope)),
		Quantity: &analysis.Estimate{Value: v.growth.Slope * hour, Low: analysis.Bound(v.growth.Low * hour), High: analysis.Bound(v.growth.High * hour), Unit: "bytes an hour"},
		Verify:   fmt.Sprintf("%s of %s stops growing", v.metric.Key(), v.name),
		Risk:     "copytruncate can lose lines that are written while it copies",
		NotIf:    "the lines must be kept: then ship them elsewhere",
		Expect:   v.expect(v.metric, "gained", v.growth.Gain, 0, v.metric.Unit),
	}
}

func (v *view) freeSpace(p *analysis.Pass) analysis.Recommendation {
	free := max(0, v.used-target*(v.used+v.free))
	r := analysis.Recommendation{
		Verb:   analysis.FreeSpace,
		Action: fmt.Sprintf("Delete or move what %s no longer needs (du -xh %s | sort -h | tail)", v.name, v.mountpoint),
		Verify: fmt.Sprintf("df shows %s in use at most", analysis.Percent(target)),
		Risk:   "a file that a process has open keeps its space until it is closed",
		NotIf:  "all of it is needed: then enlarge it",
		Expect: v.expect(v.metric, "share in use", v.share(), min(v.share(), target), observe.Ratio),
	}
	if free > 0 {
		r.Quantity = &analysis.Estimate{Value: free, Unit: "bytes"}
		r.Action += fmt.Sprintf(": %s bring it to %s", analysis.Bytes(free), analysis.Percent(target))
	}
	if h := v.grower(p); h != nil {
		r.Action = fmt.Sprintf("Limit what %s writes to %s (%s per second). %s", p.Name(h.process), h.path, v.amount(v.growth.Slope), r.Action)
	}
	return r
}

func (v *view) removeFiles() analysis.Recommendation {
	n := max(0, math.Ceil(v.used-target*(v.used+v.free)))
	return analysis.Recommendation{
		Verb: analysis.FreeSpace, Quantity: &analysis.Estimate{Value: n, Unit: "files"},
		Action: fmt.Sprintf("Delete at least %.0f files on %s: it has no room for more files, whatever their size (du --inodes -x %s | sort -n | tail)", n, v.name, v.mountpoint),
		Verify: "df -i shows free inodes",
		Risk:   "a file that a process has open keeps its inode until it is closed",
		NotIf:  "all files are needed: then create the file system again with more inodes (mkfs.ext4 -N), or use XFS",
		Expect: v.expect(v.metric, "share in use", v.share(), min(v.share(), target), observe.Ratio),
	}
}

// day is the growth that a larger file system must hold: time to find what grows.
const day = 24 * 3600

func (v *view) enlarge(p *analysis.Pass) analysis.Recommendation {
	peak := p.WeeksPeak(v.metric, v.fs, v.used)
	size := v.used + v.free
	to := peak / target
	if v.growing {
		to = max(to, v.used+v.growth.Slope*day)
	}
	verb := fmt.Sprintf("Enlarge %s from %s to %s", v.name, v.amount(size), v.amount(to))
	if v.kind == "tmpfs" {
		verb += fmt.Sprintf(" (mount -o remount,size=, which takes memory) %s", v.mountpoint)
	}
	r := analysis.Recommendation{
		Verb: analysis.EnlargeDisk, Quantity: &analysis.Estimate{Value: to, Low: analysis.Bound(peak), Unit: "bytes"},
		Action: verb,
		Verify: fmt.Sprintf("df shows less than %s in use", analysis.Percent(p.Param(warnShare))),
		Risk:   "a larger file system cannot always be made smaller again",
		NotIf:  "the growth continues: a larger file system only delays the end",
		Expect: v.expect(v.metric, "share in use", v.share(), v.used/to, observe.Ratio),
	}
	if v.growing {
		r.Action += ", enough for at least a day at this rate"
	}
	return r
}
