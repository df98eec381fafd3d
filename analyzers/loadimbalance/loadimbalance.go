// SPDX-License-Identifier: Apache-2.0

// Package loadimbalance finds worker processes that get too much of the load that
// they share with others.
package loadimbalance

import (
	_ "embed"
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

//go:embed doc.md
var doc string

// Analyzer is load-imbalance.
var Analyzer = &analysis.Analyzer{
	Name:     "load-imbalance",
	Title:    "Does one worker process get too much of the load?",
	Doc:      doc,
	Category: analysis.CategoryBalance,
	Causes:   []string{acceptSkew, stickyConnections, unequalWorkers},
	Verbs:    []analysis.Verb{analysis.Rebalance},
	Needs:    []*observe.Metric{catalog.LoopBusy},
	Wants: []*observe.Metric{catalog.LoopWait, catalog.LoopLag, catalog.LoopRunQueue, catalog.LoopThrottled, catalog.LongBusy,
		catalog.ProcessListens, catalog.ProcessAccepted, catalog.ProcessAffinity, catalog.ListenerQueue},
	Params:     []*analysis.Param{hotWorker, leastGap, peakToMean, variation, hotSteps, deviations, waitingGap, manyConnections, lateMean, lateP99, laterThan},
	SymptomOf:  []string{"cpu-throttled", "run-queue-latency", "host-saturated"},
	MinSeconds: 60,
	Run:        facts.Run(run),
}

// The causes.
const (
	acceptSkew        = "accept-skew"
	stickyConnections = "sticky-connections"
	unequalWorkers    = "unequal-workers"
)

var (
	hotWorker = &analysis.Param{Name: "hot-worker", Unit: observe.Ratio, Default: 0.7, Enters: true,
		Doc: "Share of its time in ticks from which the busiest worker has no headroom, as in event-loop-saturated. Below it the kernel wakes the worker that slept last, which puts most of a low load on one worker and delays nothing."}
	leastGap = &analysis.Param{Name: "gap", Unit: observe.Ratio, Default: 0.3, Enters: true,
		Doc: "Difference in the share of time in ticks between the busiest and the least busy worker: with less, moving load gains little."}
	peakToMean = &analysis.Param{Name: "peak-to-mean", Unit: observe.Ratio, Default: 1.5,
		Doc: "Busiest worker relative to the mean from which the workers are uneven: half as much load again fits before the busiest is full."}
	variation = &analysis.Param{Name: "variation", Unit: observe.Ratio, Default: 0.25,
		Doc: "The same as coefficient of variation, for pools of two to four workers, whose peak cannot be far above the mean."}
	hotSteps = &analysis.Param{Name: "hot-steps", Unit: observe.Ratio, Default: 0.8,
		Doc: "Share of the readings in which the same worker must be busier than the mean of the others: with fair accepts another one is the busiest from second to second."}
	deviations = &analysis.Param{Name: "deviations", Unit: observe.Ratio, Default: 3,
		Doc: "Lead of the busiest worker over the mean of the others, in standard deviations of what chance makes of the same load: with 2, 1 to 2 % of the windows of fair workers with requests of 200 ms fire, with 3 none of 3,000."}
	waitingGap = &analysis.Param{Name: "waiting-gap", Unit: observe.Ratio, Default: 0.3,
		Doc: "How much more of its time in ticks the busiest worker waits for a CPU or a quota than the others, from which its CPUs are the cause and not its load."}
	manyConnections = &analysis.Param{Name: "many-connections", Unit: observe.Ratio, Default: 1.5,
		Doc: "Connections of the busiest worker relative to the mean from which the number of its connections is the cause."}
	lateMean = &analysis.Param{Name: "late-mean-lag", Unit: observe.Seconds, Default: 0.010,
		Doc: "Mean lag of the busiest worker from which requests are late, as in event-loop-saturated."}
	lateP99 = &analysis.Param{Name: "late-lag", Unit: observe.Seconds, Default: 0.050,
		Doc: "p99 lag of the busiest worker from which requests are late."}
	laterThan = &analysis.Param{Name: "later-than-others", Unit: observe.Ratio, Default: 1.5,
		Doc: "Lag of the busiest worker relative to that of the others from which the imbalance is what delays its requests."}
)

func run(p *facts.Pass) []analysis.Finding {
	var fs []analysis.Finding
	for _, pool := range p.Pools() {
		if !shared(p, pool) {
			continue
		}
		p.Checked()
		if b := balanceOf(p, pool); b.uneven(p) {
			if cause := b.cause(p); cause != "" {
				fs = append(fs, b.finding(p, cause))
			}
		}
	}
	return fs
}

// shared reports whether clients can reach any of the workers through the same
// address, so that load can move from one to another. Several instances of a program
// that listen on ports of their own do not share their load.
func shared(p *facts.Pass, pool *facts.Pool) bool {
	if slices.ContainsFunc(pool.Workers, func(l *facts.LoopView) bool { return !l.Listens || l.Spins }) {
		return false
	}
	ports := make(map[observe.ID][]string)
	for listener := range p.Entities(catalog.ListenerQueue) {
		if process, ok := p.Index.Ancestor(listener, observe.Process); ok {
			ports[process] = append(ports[process], p.Attr(listener, catalog.AttrPort))
		}
	}
	var first []string
	for _, process := range pool.Processes() {
		own := slices.Compact(slices.Sorted(slices.Values(ports[process])))
		switch {
		case len(own) == 0: // it has those of another process
		case first == nil:
			first = own
		case !slices.Equal(own, first):
			return false
		}
	}
	return true
}
