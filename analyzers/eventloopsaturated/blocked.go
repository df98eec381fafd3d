// SPDX-License-Identifier: Apache-2.0

package eventloopsaturated

import (
	"fmt"
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// A blocker is the system call in which the ticks of a loop wait.
type blocker struct {
	call facts.BlockedBy
	// flushes is set if the call waits until the disk has the data.
	flushes bool
	// share is its part of the time in ticks; of a flush, that of all flushes.
	share float64
}

// blockedBy returns the system call that takes so much of the time in ticks of the
// fullest loop that it is the cause; ok is false if there is none. Another process
// cannot share the work of ticks that wait for a disk or for another service.
func (s *service) blockedBy(p *facts.Pass) (b blocker, ok bool) {
	l := s.Loops[0]
	calls := p.AllBlockedBy(l.ID)
	if len(calls) == 0 || l.Busy <= 0 {
		return blocker{}, false
	}
	b.call, b.flushes = calls[0], p.Flushes(calls[0])
	seconds, least := 0.0, mostlyBlocked
	for _, c := range calls {
		if c == b.call || b.flushes && p.Flushes(c) {
			seconds += c.Seconds
		}
	}
	if b.flushes || writesFile(b.call) {
		least = flushShare
	}
	b.share = min(1, seconds/(l.Busy*l.Seconds))
	return b, b.share >= p.Param(least)
}

// writesFile reports whether a call writes to a file. It only sleeps if the disk cannot
// keep up, or if the file system is mounted with -o sync.
func writesFile(call facts.BlockedBy) bool {
	return call.Kind == catalog.TargetFile && (strings.HasPrefix(call.Syscall, "write") || strings.HasPrefix(call.Syscall, "pwrite"))
}

func (s *service) blockedSummary(p *facts.Pass, mean float64, b blocker) string {
	return fmt.Sprintf("%s; %s of that time is blocked in %s (%s)",
		s.summary(p, mean), analysis.Percent(b.share), b.call.Syscall, p.Blocker(b.call, s.Loops[0].Runtime).Means)
}

// makeAsync moves the call off the loop, and reduces the number of flushes: one
// flush for all data written meanwhile takes as long as one for a line.
func (s *service) makeAsync(p *facts.Pass, on blocker) analysis.Recommendation {
	l, call := s.Loops[0], on.call
	b := p.Blocker(call, l.Runtime)
	r := analysis.Recommendation{
		Verb:   analysis.MakeAsync,
		Action: fmt.Sprintf("Make the %s calls (%s) of %s asynchronous: use %s", call.Syscall, b.Means, p.Name(l.ID), b.Instead),
		Verify: fmt.Sprintf("headroom.loop.busy.time of %s falls below %s of the time", p.Command(l.Process), analysis.Percent(p.Param(fullLoop))),
		Risk:   "calls that ran one after the other now run at the same time: bound how many",
		NotIf:  "the order of the calls matters: then queue them in one separate thread",
		Expect: []analysis.Expectation{{Metric: catalog.LoopBusy, Label: "share of the window", From: s.Busy, To: s.Busy * (1 - on.share), Unit: observe.Ratio}},
	}
	if on.flushes {
		each := call.Syscall + " for each"
		if flag := p.OpenFlag(call); flag != "" {
			each = fmt.Sprintf("with each %s (open the file without %s)", call.Syscall, flag)
		}
		r.Action = fmt.Sprintf("Flush once for many requests (group commit, or a timer) instead of %s, off the event loop of %s: use %s. Or put %s on a faster disk",
			each, p.Name(l.ID), b.Instead, s.fileOf(p, call))
		r.Risk = "what was not flushed yet is lost in a power failure"
		r.NotIf = "each request must be on the disk before its answer: then answer in groups, after one flush"
	}
	return r
}

func (s *service) fileOf(p *facts.Pass, call facts.BlockedBy) string {
	if name := p.FileName(call); name != "" {
		return name
	}
	return "the file"
}
