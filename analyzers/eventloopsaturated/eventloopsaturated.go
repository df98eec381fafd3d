// SPDX-License-Identifier: Apache-2.0

// Package eventloopsaturated finds event loops that are full of short ticks, and
// computes how many processes can carry their work.
package eventloopsaturated

import (
	_ "embed"
	"fmt"
	"math"
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/capacity"
	"github.com/headroom-project/headroom/analyzers/facts"
)

//go:embed doc.md
var doc string

// Analyzer is event-loop-saturated.
var Analyzer = &analysis.Analyzer{
	Name:     "event-loop-saturated",
	Title:    "Is an event loop saturated with short ticks?",
	Doc:      doc,
	Category: analysis.CategoryEventLoop,
	Causes:   []string{shortTicks, blockingCall},
	Verbs:    []analysis.Verb{analysis.AddProcesses, analysis.AddNodes, analysis.MakeAsync, analysis.ReduceWork},
	Needs:    []*observe.Metric{catalog.LoopBusy},
	Wants: []*observe.Metric{catalog.LoopWait, catalog.LoopLag, catalog.LoopCPU, catalog.LoopThrottled, catalog.LoopWakeThrottled, catalog.LoopRunQueue, catalog.LoopBlocked, catalog.LoopBlockedOn,
		catalog.CPUIdle, catalog.CgroupCPULimit, catalog.ProcessCPU, catalog.ProcessListens,
		catalog.ProcessAccepted, catalog.ProcessBacklog, catalog.ProcessDatagrams, catalog.StatementCalls, catalog.RequestDuration, catalog.LoopSampled, catalog.LoopIn},
	Params:     []*analysis.Param{fullLoop, warnMean, blockedLag, noTimeLeft, planned, hostPlanned, mostlyBlocked, flushShare},
	SymptomOf:  []string{"cpu-throttled", "run-queue-latency", "worker-count-mismatch", "host-saturated", nPlusOne},
	MinSeconds: 60,
	Run:        facts.Run(run),
}

// The causes.
const (
	shortTicks   = "short-ticks"
	blockingCall = "blocking-call"
)

// nPlusOne is the analyzer that explains a loop that is full of the answers to calls
// which one query would replace.
const nPlusOne = "n-plus-one"

var (
	fullLoop = &analysis.Param{Name: "full-loop", Unit: observe.Ratio, Default: 0.7, Enters: true,
		Doc: "Share of the window in ticks from which a loop has no headroom: the wait factor of M/G/1 is 2.3 at 0.7, 4 at 0.8 and 9 at 0.9."}
	warnMean = &analysis.Param{Name: "warn-mean-lag", Unit: observe.Seconds, Default: 0.010, Enters: true,
		Doc: "Mean lag from which a full loop delays requests: half of the queue wait at which DAGOR declares overload. nginx and redis stay below a millisecond at 80 %."}
	blockedLag = &analysis.Param{Name: "blocked-lag", Unit: observe.Seconds, Default: 0.050,
		Doc: "p99 lag above which people notice. event-loop-blocked reports the loop, unless its long ticks are short pieces of work that queue."}
	noTimeLeft = &analysis.Param{Name: "no-time-left", Unit: observe.Ratio, Default: 0.9,
		Doc: "Share of the window in ticks from which a loop that waits in one call is a warning if it has several clients, also if each waits for less than warn-mean-lag: the wait factor of M/G/1 is 9, and the call takes the time, not the work."}
	planned = &analysis.Param{Name: "planned-share", Unit: observe.Ratio, Default: 0.65,
		Doc: "Planned share of time in ticks: leaves room below full-loop for a peak 10 % above the window's mean."}
	hostPlanned = &analysis.Param{Name: "planned-host", Unit: observe.Ratio, Default: 0.8,
		Doc: "Share of the CPUs that more processes can use: above it they wait for each other."}
	mostlyBlocked = &analysis.Param{Name: "blocked-share", Unit: observe.Ratio, Default: 0.5,
		Doc: "Share of the time in ticks that one system call blocks, from which that call is the cause. More processes would wait for the same disk or service."}
	flushShare = &analysis.Param{Name: "flush-share", Unit: observe.Ratio, Default: 0.2,
		Doc: "The same for a flush to disk (fsync). Only its sleep is counted, and submitting the writes takes the kernel about as much CPU time on a fast disk."}
)

func run(p *facts.Pass) []analysis.Finding {
	var fs []analysis.Finding
	for _, loops := range p.LoopServices() {
		p.Checked()
		s := &service{loops}
		if severity := s.severity(p); severity > analysis.Healthy {
			fs = append(fs, s.finding(p, severity))
		}
	}
	return fs
}

// A service is the loops of one owner and runtime, the fullest first.
type service struct{ *facts.LoopService }

// lags returns the lags of the fullest loop.
func (s *service) lags() capacity.Lags {
	l := s.Loops[0]
	return capacity.LagsOf(l.Lag.Count, l.Lag.Sum).With(l.Current)
}

func (s *service) severity(p *facts.Pass) analysis.Severity {
	l, lags := s.Loops[0], s.lags()
	switch {
	case !l.Serves || l.Spins || s.unvisited(p) || s.Busy < p.Param(fullLoop), s.late(p) && !l.Queued():
		return analysis.Healthy
	case lags.Mean(l.Seconds) > p.Param(warnMean), s.late(p), s.queuesForCall(p):
		return analysis.Warning
	}
	return analysis.Info
}

// queuesForCall reports whether requests queue up for a loop that has no time left
// because its ticks wait in a call: it does less than it could, and several clients wait
// for it. A loop that is as full of work does what it can.
func (s *service) queuesForCall(p *facts.Pass) bool {
	if s.Busy < p.Param(noTimeLeft) || !s.severalClients(p) {
		return false
	}
	_, blocked := s.blockedBy(p)
	return blocked
}

// severalClients reports whether at least two clients were connected to the fullest
// loop, or waited for it. One client that sends its requests one after the other keeps a
// loop full too, and no other waits.
func (s *service) severalClients(p *facts.Pass) bool {
	_, accepted, _ := p.Range(catalog.ProcessAccepted, s.Loops[0].Process)
	_, waiting, _ := p.Range(catalog.ProcessBacklog, s.Loops[0].Process)
	return max(accepted, waiting) >= 2
}

// p99 returns the p99 lag of the fullest loop; late reports whether people notice it.
func (s *service) p99() float64            { return s.lags().Quantile(s.Loops[0].Seconds, 0.99) }
func (s *service) late(p *facts.Pass) bool { return s.p99() > p.Param(blockedLag) }

// unvisited reports whether no client was connected to any of the loops.
func (s *service) unvisited(p *facts.Pass) bool {
	return !slices.ContainsFunc(s.Loops, func(l *facts.LoopView) bool { return !p.Unvisited(l.Process) })
}

func (s *service) finding(p *facts.Pass, severity analysis.Severity) analysis.Finding {
	l, lags := s.Loops[0], s.lags()
	throttled := p.IncreaseOr0(catalog.LoopThrottled, l.ID)
	queued := p.IncreaseOr0(catalog.LoopRunQueue, l.ID)
	mean := lags.Mean(l.Seconds)
	repeats := s.repeats(p)
	f := analysis.Finding{
		Cause:      shortTicks,
		Severity:   severity,
		Confidence: s.confidence(p),
		Impact:     s.impact(p, severity),
		Subject:    l.ID,
		Summary:    s.summary(p, mean) + s.within(p),
		Evidence: []analysis.Evidence{
			{Metric: catalog.LoopBusy, Label: "share of the window", Value: s.Busy, Unit: observe.Ratio, Bound: analysis.Bound(p.Param(fullLoop))},
			{Metric: catalog.LoopLag, Label: "mean", Value: mean, Unit: observe.Seconds, Bound: analysis.Bound(p.Param(warnMean))},
			{Metric: catalog.LoopLag, Label: "p99", Value: s.p99(), Unit: observe.Seconds, Bound: analysis.Bound(p.Param(blockedLag))},
		},
		Culprits:        facts.Largest(p.BusyFunctions(l)),
		Recommendations: append([]analysis.Recommendation{s.advice(p)}, s.cheaper(p)...),
		Lost: map[string]float64{
			"cpu-throttled": throttled, "run-queue-latency": queued, "host-saturated/cpu": queued,
			"worker-count-mismatch": s.cluster() * l.Busy * l.Seconds,
			nPlusOne:                repeats,
		},
		LostTotal: l.Busy * l.Seconds,
		Without:   func(causes []string) bool { return s.stands(p, causes, throttled, queued, repeats) },
	}
	if b, blocked := s.blockedBy(p); blocked {
		f.Cause, f.Summary = blockingCall, s.blockedSummary(p, mean, b)
		f.Culprits, f.Recommendations = nil, []analysis.Recommendation{s.makeAsync(p, b)} // samples leave out what blocks
	}
	return f
}

// repeats returns the time, in seconds, that the fullest loop needs for calls which one
// query would replace.
func (s *service) repeats(p *facts.Pass) float64 {
	l := s.Loops[0]
	r, ok := p.RepeatOf(l.Process)
	if !ok {
		return 0
	}
	return min(l.Busy, p.CallCPU(r)) * l.Seconds
}

// cluster returns 1 for loops that share their work with others of the service, for
// which worker-count-mismatch has the number, and 0 for a single one.
func (s *service) cluster() float64 {
	if len(s.Loops) > 1 {
		return 1
	}
	return 0
}

// stands reports whether the loop would be full without the time lost to a quota or
// to others on its CPU.
func (s *service) stands(p *facts.Pass, causes []string, throttled, queued, repeats float64) bool {
	lost := 0.0
	for _, cause := range causes {
		switch cause {
		case "worker-count-mismatch":
			return false
		case "cpu-throttled":
			lost += throttled
		case nPlusOne:
			lost += repeats
		case "run-queue-latency", "host-saturated/cpu":
			lost += queued
			queued = 0
		}
	}
	return s.Busy-lost/s.Loops[0].Seconds >= p.Param(fullLoop)
}

// impact returns the capacity that is missing for the planned share.
func (s *service) impact(p *facts.Pass, severity analysis.Severity) float64 {
	missing := max(0, 1-p.Param(planned)/max(s.Busy, p.Param(planned)))
	if severity < analysis.Warning {
		// No request is late yet: rank it below findings that delay requests.
		return missing / 10
	}
	return missing
}

func (s *service) confidence(p *facts.Pass) float64 {
	// Confidence if delays were observed, and if only utilisation was.
	const late, full = 0.85, 0.7
	if s.lags().Mean(s.Loops[0].Seconds) > p.Param(warnMean) {
		return late
	}
	return full
}

func (s *service) summary(p *facts.Pass, mean float64) string {
	l := s.Loops[0]
	text := fmt.Sprintf("%s has no headroom: its event loop is %s busy with short ticks", p.Name(l.ID), analysis.Percent(s.Busy))
	if n := len(s.Loops); n > 1 {
		text = fmt.Sprintf("%s and the %s beside it have no headroom: their event loops are %s busy with short ticks",
			p.Name(l.ID), analysis.Number(float64(n-1), "loop", "loops"), analysis.Percent(s.Busy))
	}
	text += fmt.Sprintf(", and requests wait %s for their turn on average", analysis.Seconds(mean))
	if s.late(p) {
		text += fmt.Sprintf(", %s at p99, because many run in one tick", analysis.Seconds(s.p99()))
	}
	return text
}

// advice recommends more processes if cores and quota are idle, otherwise more
// nodes.
func (s *service) advice(p *facts.Pass) analysis.Recommendation {
	l := s.Loops[0]
	n := float64(len(s.Loops))
	want := float64(capacity.Spread(n*s.Busy, p.Param(planned)))
	r := analysis.Recommendation{
		Verify: fmt.Sprintf("headroom.loop.busy.time of %s falls below %s of the time", p.Command(l.Process), analysis.Percent(p.Param(fullLoop))),
		Expect: []analysis.Expectation{{Metric: catalog.LoopBusy, Label: "share of the window", From: s.Busy, To: s.Busy * n / want, Unit: observe.Ratio}},
	}
	more := &analysis.Estimate{Value: want - n, Low: analysis.Bound(max(1, float64(capacity.Spread(n*s.Busy, p.Param(fullLoop)))-n)), Unit: "processes"}
	if s.Busy < almostAll {
		more.High = analysis.Bound(more.Value + 1)
	}
	if s.fits(p, want) {
		r.Verb, r.Quantity = analysis.AddProcesses, more
		r.Action = fmt.Sprintf("Run %.0f processes of %s, %s more", want, p.Command(l.Process), analysis.Number(more.Value, "process", "processes"))
		if replicas, ok := p.MoreReplicas(l.ID, more.Value); ok {
			r.Action = replicas + " for each pod that is as busy as this one"
		}
		r.Risk = "state in memory (sessions, caches, counters) is no longer shared"
		r.NotIf = "the processes share a connection pool or a database that is already saturated"
		return r
	}
	r.Verb = analysis.AddNodes
	r.Quantity = &analysis.Estimate{Value: math.Ceil(want/n) - 1, Low: analysis.Bound(1), Unit: "nodes"}
	r.Expect[0].To = s.Busy / (1 + r.Quantity.Value)
	r.Action = fmt.Sprintf("Add %s for %s: this host has no idle core or quota left for another process", analysis.Number(r.Quantity.Value, "node", "nodes"), p.Command(l.Process))
	r.Risk = "state in memory (sessions, caches, counters) is no longer shared"
	r.NotIf = "a database behind it is already saturated"
	return r
}

// almostAll is the utilisation from which a full loop hides how much more work
// there is.
const almostAll = 0.95

// fits reports whether so many processes find CPUs: each uses what one uses now at
// the planned share.
func (s *service) fits(p *facts.Pass, want float64) bool {
	l := s.Loops[0]
	idle, ok := p.IdleCores()
	if !ok {
		return false
	}
	use := 0.0
	for _, loop := range s.Loops {
		rate, _ := p.Rate(catalog.ProcessCPU, loop.Process)
		use += max(rate, loop.Busy)
	}
	// The work stays the same: another process adds capacity, not work. Only a loop
	// that is full has more work waiting.
	growth := 0.0
	if s.Busy >= almostAll {
		growth = use * (want*p.Param(planned)/(float64(len(s.Loops))*s.Busy) - 1)
	}
	slack := idle - (1-p.Param(hostPlanned))*p.CPUs()
	return slack >= growth && min(idle, p.QuotaHeadroom(l.ID)) >= max(growth, leastRoom)
}

// leastRoom is the part of a core that must be idle for another process to be
// useful.
const leastRoom = 0.3
