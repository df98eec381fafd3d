// SPDX-License-Identifier: Apache-2.0

package eventloopsaturated

import (
	"fmt"
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// blockedBy returns the system call that takes most of the time in ticks of the
// fullest loop, and its share. Another process cannot share the work of ticks that
// wait for a disk or for another service.
func (s *service) blockedBy(p *facts.Pass) (facts.BlockedBy, float64) {
	l := s.loops[0]
	calls := p.AllBlockedBy(l.ID)
	if len(calls) == 0 || l.Busy <= 0 {
		return facts.BlockedBy{}, 0
	}
	return calls[0], min(1, calls[0].Seconds/(l.Busy*l.Seconds))
}

// enough returns the share of the ticks from which a call is the cause.
func enough(call facts.BlockedBy) *analysis.Param {
	if slices.Contains(facts.FlushCalls, call.Syscall) {
		return flushShare
	}
	return mostlyBlocked
}

func (s *service) blockedSummary(p *facts.Pass, mean float64, call facts.BlockedBy, share float64) string {
	return fmt.Sprintf("%s; %s of that time is blocked in %s (%s)",
		s.summary(p, mean), analysis.Percent(share), call.Syscall, p.Blocker(call, s.loops[0].Runtime).Means)
}

// makeAsync moves the call off the loop, and reduces the number of flushes: one
// flush for all data written meanwhile takes as long as one for a line.
func (s *service) makeAsync(p *facts.Pass, call facts.BlockedBy, share float64) analysis.Recommendation {
	l := s.loops[0]
	b := p.Blocker(call, l.Runtime)
	r := analysis.Recommendation{
		Verb:   analysis.MakeAsync,
		Action: fmt.Sprintf("Make the %s calls (%s) of %s asynchronous: use %s", call.Syscall, b.Means, p.Name(l.ID), b.Instead),
		Verify: fmt.Sprintf("headroom.loop.busy.time of %s falls below %s of the time", p.Command(l.Process), analysis.Percent(p.Param(fullLoop))),
		Risk:   "calls that ran one after the other now run at the same time: bound how many",
		NotIf:  "the order of the calls matters: then queue them in one separate thread",
		Expect: []analysis.Expectation{{Metric: catalog.LoopBusy, Label: "share of the window", From: s.busy, To: s.busy * (1 - share), Unit: observe.Ratio}},
	}
	if slices.Contains(facts.FlushCalls, call.Syscall) {
		r.Action = fmt.Sprintf("Flush once for many requests instead of %s for each (group commit, or a timer), off the event loop of %s: use %s. Or put %s on a faster disk",
			call.Syscall, p.Name(l.ID), b.Instead, s.fileOf(p, call))
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
