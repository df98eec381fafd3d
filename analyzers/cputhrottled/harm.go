// SPDX-License-Identifier: Apache-2.0

package cputhrottled

import (
	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/capacity"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// harm is the delay caused by a quota, and its size.
type harm struct {
	severity   analysis.Severity
	confidence float64
	// stopped is the share of the window in which the group was throttled, running its
	// share of the time with work, and lost the share by which its clients were delayed.
	stopped, running, lost float64
	// loop is the loop that the quota delayed most, nil if there is none; share is the
	// quota's part of its long ticks.
	loop            *facts.LoopView
	share           float64
	p99, p99Without float64
}

// harmOf evaluates the effect, not the throttling: loops show their delays. A group
// without loops is evaluated by its throttled time, and only if clients are known
// to wait for it.
func harmOf(p *facts.Pass, q facts.Quota, loops []*facts.LoopView, listens func() bool) harm {
	h := harm{confidence: sure, stopped: q.Window(p.CPUs())}
	if q.UseKnown {
		h.running = q.Running()
	}
	h.worstLoop(p, loops)
	late := h.p99 > p.Param(warnLag)
	switch {
	case h.loop != nil && late && h.share >= p.Param(criticalShare) && h.p99 > p.Param(criticalLag):
		h.severity = analysis.Critical
	case h.loop != nil && late && h.share >= p.Param(warnShare):
		h.severity = analysis.Warning
	case h.stopped < p.Param(warnTime) && !(h.inBursts(p) && len(loops) == 0 && listens()):
		if len(loops) > 0 || !stopsBursts(p, q) || !listens() {
			return harm{}
		}
		h.severity = analysis.Info
	default:
		h.loop = nil
		h.inTime(p, len(loops) > 0, listens)
	}
	if h.loop == nil {
		h.lost = h.stopped
	}
	return h
}

const (
	// sure is the confidence in a counted event with its effect; unsure the confidence
	// in throttling whose effect could not be observed (no eBPF).
	sure, unsure = 0.9, 0.6
	// guess is the confidence for a group for which no client is known to wait.
	guess = 0.4
)

// servingLoops returns the loops that serve clients, by each cgroup that contains
// them. Loops of an M:N scheduler (Go) are left out: they do not show which
// requests waited.
func servingLoops(p *facts.Pass) map[observe.ID][]*facts.LoopView {
	loops := make(map[observe.ID][]*facts.LoopView)
	for _, l := range p.Loops() {
		if !l.Serves {
			continue
		}
		for cgroup := range p.Cgroups(l.ID) {
			loops[cgroup] = append(loops[cgroup], l)
		}
	}
	return loops
}

// worstLoop finds the loop that lost most time to the quota.
func (h *harm) worstLoop(p *facts.Pass, loops []*facts.LoopView) {
	for _, l := range loops {
		total := l.Long.Total()
		if total <= 0 || h.loop != nil && l.Long.Throttled <= h.loop.Long.Throttled {
			continue
		}
		lags := capacity.LagsOf(l.Lag.Count, l.Lag.Sum).With(l.Current)
		h.loop, h.share = l, l.Long.Throttled/total
		h.p99 = lags.Quantile(l.Seconds, 0.99)
		h.p99Without = lags.Scale(facts.LongTick, 1-h.share).Quantile(l.Seconds, 0.99)
		h.lost = h.share * lags.Tail(l.Seconds, p.Param(warnLag))
	}
}

// inBursts reports whether a group that has no work most of the time was throttled
// for a considerable part of the rest.
func (h *harm) inBursts(p *facts.Pass) bool {
	return h.running >= p.Param(warnTime) && h.stopped >= p.Param(leastTime)
}

const (
	// stoppedBursts is the share of the periods with work in which bursts of threads
	// exhaust the quota, and stoppedWork the share of the time with work for which they
	// are then throttled, from which it is an info: how long each burst is throttled
	// depends on where in a period it begins.
	stoppedBursts, stoppedWork = 0.1, 0.02
)

// stopsBursts reports whether the quota stops a considerable part of the bursts of a
// group, if each for a short time.
func stopsBursts(p *facts.Pass, q facts.Quota) bool {
	return burstsOfThreads(p, q) && q.Periods >= stoppedBursts && q.Running() >= stoppedWork
}

// inTime evaluates a group that was throttled for a long time, and whose loops, if any,
// are not late.
func (h *harm) inTime(p *facts.Pass, hasLoops bool, listens func() bool) {
	switch {
	case !p.Has(catalog.LoopTicks):
		h.severity, h.confidence = analysis.Warning, unsure
	case !hasLoops && listens():
		h.severity = analysis.Warning
	default:
		h.severity, h.confidence = analysis.Info, guess
	}
}

// serves reports whether a process in cgroup is known to listen.
func serves(p *facts.Pass, cgroup observe.ID) bool {
	for process := range p.Entities(catalog.ProcessListens) {
		if n, _ := p.Last(catalog.ProcessListens, process); n > 0 && p.Index.Within(process, cgroup) {
			return true
		}
	}
	return false
}
