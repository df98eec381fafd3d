// SPDX-License-Identifier: Apache-2.0

// Package acceptqueueoverflow finds listening sockets that drop connections because
// they are not accepted in time, and determines whether the queue is too short or
// the server too slow.
package acceptqueueoverflow

import (
	_ "embed"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

//go:embed doc.md
var doc string

// Analyzer is accept-queue-overflow.
var Analyzer = &analysis.Analyzer{
	Name:     "accept-queue-overflow",
	Title:    "Do listening sockets drop connections?",
	Doc:      doc,
	Category: analysis.CategoryConnections,
	Causes:   []string{backlogTooSmall, slowAccept},
	Verbs:    []analysis.Verb{analysis.RaiseBacklog, analysis.AddProcesses},
	Needs:    []*observe.Metric{catalog.ListenerDrops},
	Wants: []*observe.Metric{catalog.ListenerQueue, catalog.ListenerBacklog, catalog.ListenerSomaxconn, catalog.ListenerBurst, catalog.LoopTicks, catalog.LoopLag, catalog.LoopBusy,
		catalog.LoopWait, catalog.LongCPU, catalog.LongRunQueue, catalog.LongThrottled, catalog.LongBlocked, catalog.CurrentTick,
		catalog.ThreadCPU, catalog.ProcessRunQueue, catalog.CgroupThrottledS, catalog.ProcessFDs, catalog.ProcessFDLimit, catalog.ProcessListens, catalog.ProcessAccepted},
	Params:     []*analysis.Param{criticalRate, lateLag, fullLoop, stuckShare, hotThread},
	SymptomOf:  []string{loopBlocked, loopSaturated, oneThread, throttled, runQueue, noDescriptors, queueBacklog},
	MinSeconds: 60,
	Run:        facts.Run(run),
}

// Causes.
const (
	backlogTooSmall = "backlog-too-small"
	slowAccept      = "slow-accept"
)

// Analyzers whose findings explain a server that accepts too late.
const (
	loopBlocked   = "event-loop-blocked"
	loopSaturated = "event-loop-saturated"
	oneThread     = "single-thread-bound"
	throttled     = "cpu-throttled"
	runQueue      = "run-queue-latency"
	noDescriptors = "fd-exhaustion"
	queueBacklog  = "queue-backlog"
)

var (
	criticalRate = &analysis.Param{Name: "critical-rate", Unit: observe.Count, Default: 1,
		Doc: "Dropped connections per second that are critical: a client retries after a second at the earliest, so that at this rate a client is waiting at any time. Netdata warns there."}
	lateLag = &analysis.Param{Name: "late-lag", Unit: observe.Seconds, Default: 0.050,
		Doc: "p99 lag of the event loop from which the server accepts too late, as in event-loop-blocked."}
	fullLoop = &analysis.Param{Name: "full-loop", Unit: observe.Ratio, Default: 0.7,
		Doc: "Share of the window in ticks from which the loop is full, as in event-loop-saturated."}
	stuckShare = &analysis.Param{Name: "stuck-share", Unit: observe.Ratio, Default: 0.5,
		Doc: "Share of the readings with a full queue from which the server does not keep up: a burst is over before the next reading."}
	hotThread = &analysis.Param{Name: "hot-thread", Unit: observe.Cores, Default: 0.9,
		Doc: "CPU of one thread from which it has no time left, as in single-thread-bound."}
)

func run(p *facts.Pass) []analysis.Finding {
	var fs []analysis.Finding
	for listener := range p.Entities(catalog.ListenerDrops) {
		p.Checked()
		// Drops are counted by the kernel, so one is enough.
		if drops := p.IncreaseOr0(catalog.ListenerDrops, listener); drops >= 1 {
			fs = append(fs, finding(p, look(p, listener, drops)))
		}
	}
	return fs
}

func finding(p *facts.Pass, v view) analysis.Finding {
	severity := analysis.Warning
	if v.drops/p.Seconds >= p.Param(criticalRate) {
		severity = analysis.Critical
	}
	cause := backlogTooSmall
	if v.late(p) {
		cause = slowAccept
	}
	f := analysis.Finding{
		Cause:           cause,
		Severity:        severity,
		Confidence:      v.confidence(cause),
		Impact:          v.dropping,
		Subject:         v.listener,
		Summary:         v.summary(p, cause),
		Evidence:        v.evidence(p),
		Recommendations: v.advice(p, cause),
	}
	if cause == slowAccept {
		f.Lost, f.LostTotal = v.lost(p)
		f.Without = func(causes []string) bool { return v.stands(causes) }
	}
	return f
}
