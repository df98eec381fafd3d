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
	Verbs:    []analysis.Verb{analysis.AddProcesses, analysis.AddNodes, analysis.MakeAsync},
	Needs:    []*observe.Metric{catalog.LoopBusy},
	Wants: []*observe.Metric{catalog.LoopWait, catalog.LoopLag, catalog.LoopCPU, catalog.LoopThrottled, catalog.LoopRunQueue, catalog.LoopBlocked, catalog.LoopBlockedOn,
		catalog.CPUIdle, catalog.CgroupCPULimit, catalog.ProcessCPU, catalog.ProcessListens,
		catalog.ProcessAccepted, catalog.ProcessBacklog, catalog.ProcessDatagrams},
	Params:     []*analysis.Param{fullLoop, warnMean, blockedLag, planned, hostPlanned, mostlyBlocked, flushShare},
	SymptomOf:  []string{"cpu-throttled", "run-queue-latency", "worker-count-mismatch", "host-saturated"},
	MinSeconds: 60,
	Run:        facts.Run(run),
}

// The causes.
const (
	shortTicks   = "short-ticks"
	blockingCall = "blocking-call"
)

var (
	fullLoop = &analysis.Param{Name: "full-loop", Unit: observe.Ratio, Default: 0.7, Enters: true,
		Doc: "Share of the window in ticks from which a loop has no headroom: the wait factor of M/G/1 is 2.3 at 0.7, 4 at 0.8 and 9 at 0.9."}
	warnMean = &analysis.Param{Name: "warn-mean-lag", Unit: observe.Seconds, Default: 0.010, Enters: true,
		Doc: "Mean lag from which a full loop delays requests: half of the queue wait at which DAGOR declares overload. nginx and redis stay below a millisecond at 80 %."}
	blockedLag = &analysis.Param{Name: "blocked-lag", Unit: observe.Seconds, Default: 0.050,
		Doc: "p99 lag above which event-loop-blocked reports the loop: long ticks are then the problem, and more processes do not shorten them."}
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
	for _, g := range services(p) {
		p.Checked()
		if severity := g.severity(p); severity > analysis.Healthy {
			fs = append(fs, g.finding(p, severity))
		}
	}
	return fs
}

// A service is the loops of one owner and runtime, the fullest first.
type service struct {
	loops []*facts.LoopView
	// busy is the mean share of time in ticks.
	busy float64
}

func services(p *facts.Pass) []*service {
	type key struct{ owner, runtime string }
	keyOf := func(l *facts.LoopView) key { return key{p.Owner(l.Process), l.Runtime} }
	var all []*service
	for _, loops := range facts.GroupBy(slices.Values(p.Loops()), keyOf) {
		s := &service{loops: loops}
		for i, l := range loops {
			if l.Busy > loops[0].Busy {
				loops[0], loops[i] = l, loops[0]
			}
		}
		all = append(all, s)
		s.dropAcceptor(p)
		for _, l := range s.loops {
			s.busy += l.Busy / float64(len(s.loops))
		}
	}
	return all
}

// acceptorShare is the share of the others' mean utilisation below which a process
// can be one that only accepts for them.
const acceptorShare = 0.5

// dropAcceptor leaves out the process that accepts connections for others with the
// same command and does none of their work, as the primary of node's cluster.
func (s *service) dropAcceptor(p *facts.Pass) {
	at, others := -1, 0.0
	for i, l := range s.loops {
		switch n, _ := p.Last(catalog.ProcessListens, l.Process); {
		case p.Command(l.Process) != p.Command(s.loops[0].Process), n > 0 && at >= 0:
			return
		case n > 0:
			at = i
		default:
			others += l.Busy
		}
	}
	if n := len(s.loops); at >= 0 && n > 1 && s.loops[at].Busy < acceptorShare*others/float64(n-1) {
		s.loops = slices.Delete(s.loops, at, at+1)
	}
}

// lags returns the lags of the fullest loop.
func (s *service) lags() capacity.Lags {
	l := s.loops[0]
	return capacity.LagsOf(l.Lag.Count, l.Lag.Sum).With(l.Current)
}

func (s *service) severity(p *facts.Pass) analysis.Severity {
	l, lags := s.loops[0], s.lags()
	switch {
	case !l.Serves || l.Spins || s.unvisited(p) || s.busy < p.Param(fullLoop) || lags.Quantile(l.Seconds, 0.99) > p.Param(blockedLag):
		return analysis.Healthy
	case lags.Mean(l.Seconds) > p.Param(warnMean):
		return analysis.Warning
	}
	return analysis.Info
}

// unvisited reports whether no client was connected to any of the loops.
func (s *service) unvisited(p *facts.Pass) bool {
	return !slices.ContainsFunc(s.loops, func(l *facts.LoopView) bool { return !p.Unvisited(l.Process) })
}

func (s *service) finding(p *facts.Pass, severity analysis.Severity) analysis.Finding {
	l, lags := s.loops[0], s.lags()
	throttled := p.IncreaseOr0(catalog.LoopThrottled, l.ID)
	queued := p.IncreaseOr0(catalog.LoopRunQueue, l.ID)
	mean := lags.Mean(l.Seconds)
	call, blocked := s.blockedBy(p)
	cause, summary, advice := shortTicks, s.summary(p, mean), s.advice(p)
	if blocked >= p.Param(enough(call)) {
		cause, summary, advice = blockingCall, s.blockedSummary(p, mean, call, blocked), s.makeAsync(p, call, blocked)
	}
	return analysis.Finding{
		Cause:      cause,
		Severity:   severity,
		Confidence: s.confidence(p),
		Impact:     s.impact(p, severity),
		Subject:    l.ID,
		Summary:    summary,
		Evidence: []analysis.Evidence{
			{Metric: catalog.LoopBusy, Label: "share of the window", Value: s.busy, Unit: observe.Ratio, Bound: analysis.Bound(p.Param(fullLoop))},
			{Metric: catalog.LoopLag, Label: "mean", Value: mean, Unit: observe.Seconds, Bound: analysis.Bound(p.Param(warnMean))},
			{Metric: catalog.LoopLag, Label: "p99", Value: lags.Quantile(l.Seconds, 0.99), Unit: observe.Seconds, Bound: analysis.Bound(p.Param(blockedLag))},
		},
		Recommendations: []analysis.Recommendation{advice},
		Lost: map[string]float64{
			"cpu-throttled": throttled, "run-queue-latency": queued, "host-saturated/cpu": queued,
			"worker-count-mismatch": s.cluster() * l.Busy * l.Seconds,
		},
		LostTotal: l.Busy * l.Seconds,
		Without:   func(causes []string) bool { return s.stands(p, causes, throttled, queued) },
	}
}

// cluster returns 1 for loops that share their work with others of the service, for
// which worker-count-mismatch has the number, and 0 for a single one.
func (s *service) cluster() float64 {
	if len(s.loops) > 1 {
		return 1
	}
	return 0
}

// stands reports whether the loop would be full without the time lost to a quota or
// to others on its CPU.
func (s *service) stands(p *facts.Pass, causes []string, throttled, queued float64) bool {
	lost := 0.0
	for _, cause := range causes {
		switch cause {
		case "worker-count-mismatch":
			return false
		case "cpu-throttled":
			lost += throttled
		case "run-queue-latency", "host-saturated/cpu":
			lost += queued
			queued = 0
		}
	}
	return s.busy-lost/s.loops[0].Seconds >= p.Param(fullLoop)
}

// impact returns the capacity that is missing for the planned share.
func (s *service) impact(p *facts.Pass, severity analysis.Severity) float64 {
	missing := max(0, 1-p.Param(planned)/max(s.busy, p.Param(planned)))
	if severity < analysis.Warning {
		// No request is late yet: rank it below findings that delay requests.
		return missing / 10
	}
	return missing
}

func (s *service) confidence(p *facts.Pass) float64 {
	// Confidence if delays were observed, and if only utilisation was.
	const late, full = 0.85, 0.7
	if s.lags().Mean(s.loops[0].Seconds) > p.Param(warnMean) {
		return late
	}
	return full
}

func (s *service) summary(p *facts.Pass, mean float64) string {
	l := s.loops[0]
	text := fmt.Sprintf("%s has no headroom: its event loop is %s busy with short ticks", p.Name(l.ID), analysis.Percent(s.busy))
	if n := len(s.loops); n > 1 {
		text = fmt.Sprintf("%s and the %s beside it have no headroom: their event loops are %s busy with short ticks",
			p.Name(l.ID), analysis.Number(float64(n-1), "loop", "loops"), analysis.Percent(s.busy))
	}
	return fmt.Sprintf("%s, and requests wait %s for their turn on average", text, analysis.Seconds(mean))
}

// advice recommends more processes if cores and quota are idle, otherwise more
// nodes.
func (s *service) advice(p *facts.Pass) analysis.Recommendation {
	l := s.loops[0]
	n := float64(len(s.loops))
	want := float64(capacity.Spread(n*s.busy, p.Param(planned)))
	r := analysis.Recommendation{
		Verify: fmt.Sprintf("headroom.loop.busy.time of %s falls below %s of the time", p.Command(l.Process), analysis.Percent(p.Param(fullLoop))),
		Expect: []analysis.Expectation{{Metric: catalog.LoopBusy, Label: "share of the window", From: s.busy, To: s.busy * n / want, Unit: observe.Ratio}},
	}
	more := &analysis.Estimate{Value: want - n, Low: analysis.Bound(max(1, float64(capacity.Spread(n*s.busy, p.Param(fullLoop)))-n)), Unit: "processes"}
	if s.busy < almostAll {
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
	r.Expect[0].To = s.busy / (1 + r.Quantity.Value)
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
	l := s.loops[0]
	idle, ok := p.IdleCores()
	if !ok {
		return false
	}
	use := 0.0
	for _, loop := range s.loops {
		rate, _ := p.Rate(catalog.ProcessCPU, loop.Process)
		use += max(rate, loop.Busy)
	}
	// The work stays the same: another process adds capacity, not work. Only a loop
	// that is full has more work waiting.
	growth := use * (want*p.Param(planned)/(float64(len(s.loops))*s.busy) - 1)
	growth = max(growth, leastRoom)
	slack := idle - (1-p.Param(hostPlanned))*p.CPUs()
	return slack >= growth && p.QuotaHeadroom(l.ID) >= growth
}

// leastRoom is the part of a core that must be idle for another process to be
// useful.
const leastRoom = 0.3
