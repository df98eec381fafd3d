// SPDX-License-Identifier: Apache-2.0

// Package runqueuelatency finds services that are ready to run and wait for a CPU,
// and the tasks that ran on it in the meantime.
package runqueuelatency

import (
	_ "embed"
	"fmt"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

//go:embed doc.md
var doc string

// Analyzer is run-queue-latency.
var Analyzer = &analysis.Analyzer{
	Name:     "run-queue-latency",
	Title:    "Do services wait for a CPU, and which process has it?",
	Doc:      doc,
	Category: analysis.CategoryCPU,
	Causes:   []string{hostFull, noisyNeighbour, ownThreads},
	Verbs:    []analysis.Verb{analysis.AddNodes, analysis.CapNeighbour, analysis.ReduceThreads},
	Needs:    []*observe.Metric{catalog.ProcessRunQueue, catalog.ProcessCPU},
	Wants: []*observe.Metric{catalog.RunQueueDelay, catalog.ProcessRuns, catalog.WaitedFor, catalog.ThreadCPU, catalog.ThreadRunQueue,
		catalog.CgroupThrottledS, catalog.CPUIdle, catalog.CPUSteal, catalog.ProcessAffinity, catalog.ProcessListens, catalog.ProcessAccepted,
		catalog.ProcessDatagrams, catalog.ProcessBrokers, catalog.LoopTicks, catalog.LoopLag, catalog.LongRunQueue, catalog.ProcessThreads},
	Params:     []*analysis.Param{warnShare, criticalShare, warnDelay, criticalDelay, feltDelay, lateLoop, leastWait, leastWaitNoLoop, criticalWait, throttleShare, strangers, fullHost, robbedHost},
	SymptomOf:  []string{"host-saturated", "worker-count-mismatch"},
	MinSeconds: 60,
	Run:        facts.Run(run),
}

// The causes.
const (
	hostFull       = "host-full"
	noisyNeighbour = "noisy-neighbour"
	ownThreads     = "own-threads"
)

var (
	warnShare = &analysis.Param{Name: "warn-share", Unit: observe.Ratio, Default: 0.50, Enters: true,
		Doc: "Waiting time divided by waiting and running time: at a half, work takes twice as long as it should, also if each wait is short."}
	criticalShare = &analysis.Param{Name: "critical-share", Unit: observe.Ratio, Default: 0.25,
		Doc: "At a quarter, work takes a third longer than it should, and queues behind it grow with it."}
	warnDelay = &analysis.Param{Name: "warn-delay", Unit: observe.Seconds, Default: 0.010, Enters: true,
		Doc: "p99 wait per wake-up: three slices of the scheduler (about 3 ms each) and the default of bcc's runqslower."}
	criticalDelay = &analysis.Param{Name: "critical-delay", Unit: observe.Seconds, Default: 0.050,
		Doc: "p99 wait per wake-up that is a stall by itself: the bound of event-loop-blocked on lag."}
	feltDelay = &analysis.Param{Name: "felt-delay", Unit: observe.Seconds, Default: 0.005,
		Doc: "p99 wait per wake-up below which waiting has no effect that users notice: half a slice at a time, as on any host with as many threads as cores."}
	lateLoop = &analysis.Param{Name: "late-loop", Unit: observe.Seconds, Default: 0.050, Enters: true,
		Doc: "p99 lag of an event loop from which its clients notice that it waits for a CPU, also if each wait is short: the bound of event-loop-blocked."}
	leastWait = &analysis.Param{Name: "least-wait", Unit: observe.Ratio, Default: 0.02,
		Doc: "Share of the window that the service must have waited: a daemon that runs for 5 ms in 10 s may wait as long again without effect."}
	leastWaitNoLoop = &analysis.Param{Name: "least-wait-no-loop", Unit: observe.Ratio, Default: 0.05,
		Doc: "Share of the window that a service without an event loop must have waited to be a warning: each of its threads waits for itself, and daemons such as etcd and containerd wait 2 to 3 % on healthy hosts. A p99 delay of 50 ms is critical with less."}
	criticalWait = &analysis.Param{Name: "critical-wait", Unit: observe.Ratio, Default: 0.10,
		Doc: "Share of the window that the service must have waited to be critical: a tenth of its capacity. A p99 delay of 50 ms is critical with less."}
	throttleShare = &analysis.Param{Name: "throttle-share", Unit: observe.Ratio, Default: 0.2,
		Doc: "Share of the waiting that a CPU limit explains, from which cpu-throttled reports it instead: both look the same from inside the container."}
	strangers = &analysis.Param{Name: "strangers-share", Unit: observe.Ratio, Default: 0.3,
		Doc: "Share of the wait from which one other owner is a noisy neighbour, also on a full host."}
	robbedHost = &analysis.Param{Name: "robbed-host", Unit: observe.Ratio, Default: 0.10,
		Doc: "Share of steal time of the host from which the hypervisor is the cause of waits, as in host-saturated: without it, the tasks that ran meanwhile would not have delayed others."}
	fullHost = &analysis.Param{Name: "full-host", Unit: observe.Ratio, Default: 0.85,
		Doc: "Utilisation of the host from which every process waits, so that more nodes are the fix."}
)

func run(p *facts.Pass) []analysis.Finding {
	var fs []analysis.Finding
	for _, g := range groups(p) {
		p.Checked()
		for _, part := range g.waiting(p) {
			if part.beside(p) {
				p.Skip(fmt.Sprintf("the kernel counted that %s waited up to %s at a time for a CPU while CPUs that it may use were idle: this is not a lack of CPU",
					part.name(p), analysis.Seconds(part.p99)))
				continue
			}
			if took := observer(p.Culprits(part.processes...)); took >= mostly {
				p.Skip(fmt.Sprintf("headroom itself had the CPU for %s of the time that %s waited: the host is too small, or the window too short, to observe it without disturbing it",
					analysis.Percent(took), part.name(p)))
				continue
			}
			if severity := part.severity(p); part.actionable(p, severity) {
				fs = append(fs, part.finding(p, severity))
			}
		}
	}
	return fs
}

// mostly is the share of a wait from which its culprit is named as the cause.
const mostly = 0.5

// observer returns the share of a wait in which headroom itself ran. This part ends with
// the observation and is not a finding.
func observer(culprits []facts.Culprit) float64 {
	for _, c := range culprits {
		if c.Observer {
			return c.Share
		}
	}
	return 0
}

func (g *group) finding(p *facts.Pass, severity analysis.Severity) analysis.Finding {
	culprits := p.Culprits(g.processes...)
	cause := g.cause(p, culprits)
	f := analysis.Finding{
		Cause:           cause,
		Severity:        severity,
		Confidence:      confidence(culprits),
		Impact:          min(1, g.wait/p.Seconds/float64(len(g.processes))),
		Subject:         g.subject(p),
		Subjects:        g.subjects(),
		Summary:         g.summary(p, cause, culprits),
		Evidence:        g.evidence(p, culprits),
		Blame:           p.BlameOf(culprits),
		Recommendations: []analysis.Recommendation{g.advice(p, cause, culprits)},
	}
	if by := explains[cause]; by != "" {
		f.Lost, f.LostTotal = map[string]float64{by: g.wait}, g.wait
		f.Without = func([]string) bool { return false }
	}
	return f
}

// explains maps a cause to the finding that explains the whole wait, if it exists:
// a full host is one problem, not one for each service on it, and too many workers
// delay one another.
var explains = map[string]string{hostFull: "host-saturated/cpu", ownThreads: "worker-count-mismatch"}

// cause returns the cause by the tasks that had the CPU. Without a record of them,
// it is the state of the host.
func (g *group) cause(p *facts.Pass, culprits []facts.Culprit) string {
	others, most := 0.0, 0.0
	for _, c := range culprits {
		if !c.Own && !c.Observer {
			others += c.Share
			most = max(most, c.Share)
		}
	}
	full := g.fullHost(p)
	// Its own threads are also the cause if no single other owner is worth capping.
	own := others < mostly || 1-others > most && most < p.Param(strangers)
	switch {
	case len(culprits) == 0 && (full || robbed(p)):
		return hostFull
	case len(culprits) == 0 && g.cpu/p.Seconds >= p.Param(fullHost)*p.EffectiveCPUs(g.processes[0]):
		return ownThreads
	case len(culprits) == 0:
		return noisyNeighbour
	case robbed(p) && (!own || g.crowded(p)):
		return hostFull
	case own && (!full || g.crowded(p)):
		return ownThreads
	case full && (most < p.Param(strangers) || others < mostly), p.IsService(stranger(culprits)):
		return hostFull
	}
	return noisyNeighbour
}

// fullHost reports whether every process of the host waits. Those that are pinned to
// some of its CPUs wait for each other while others are idle.
func (g *group) fullHost(p *facts.Pass) bool {
	u, known := p.Utilisation()
	return known && u >= p.Param(fullHost) && !g.couldMove(p)
}

// couldMove reports whether the group is pinned to some of the CPUs while others are
// idle for long enough to take a part of the work.
func (g *group) couldMove(p *facts.Pass) bool {
	idle, known := p.IdleCores()
	return known && idle >= idleEnough && g.pinned(p)
}

// actionable reports whether there is advice that helps. On a host with idle CPUs, two
// services that sometimes delay each other need none, unless it is critical. The number
// of threads can only be reduced if there are several, and a setting for it.
func (g *group) actionable(p *facts.Pass, severity analysis.Severity) bool {
	culprits := p.Culprits(g.processes...)
	switch g.cause(p, culprits) {
	case ownThreads:
		_, known := g.threadSetting(p)
		return known && g.crowded(p) && g.threaded(p)
	case hostFull:
		return severity == analysis.Critical || g.fullHost(p) || robbed(p)
	}
	return true
}

// robbedShare is the share of the busy time from which steal time is the cause: with
// less, a neighbour that always runs delays the service more than the hypervisor.
const robbedShare = 0.3

// robbed reports whether the hypervisor takes the CPU time that tasks wait for.
func robbed(p *facts.Pass) bool {
	steal := p.Steal()
	busy, known := p.Utilisation() // including steal time
	return known && steal >= p.Param(robbedHost) && steal >= robbedShare*busy
}

func confidence(culprits []facts.Culprit) float64 {
	// Confidence with a record of the tasks that ran, and with the scheduler's totals
	// only.
	const recorded, totals = 0.9, 0.6
	if len(culprits) == 0 {
		return totals
	}
	return recorded
}

func (g *group) evidence(p *facts.Pass, culprits []facts.Culprit) []analysis.Evidence {
	e := []analysis.Evidence{
		{Metric: catalog.ProcessRunQueue, Label: "share of waiting and running", Value: g.share(), Unit: observe.Ratio, Bound: analysis.Bound(p.Param(warnShare))},
		{Metric: catalog.ProcessRunQueue, Label: "rate", Value: g.wait / p.Seconds, Unit: observe.Ratio},
	}
	if g.counted {
		e = append(e, analysis.Evidence{Metric: catalog.RunQueueDelay, Label: "p99", Value: g.p99, Unit: observe.Seconds, Bound: analysis.Bound(p.Param(warnDelay))})
	}
	if took := observer(culprits); took > 0 {
		e = append(e, analysis.Evidence{Metric: catalog.WaitedFor, Label: "part of the wait for headroom itself", Value: took, Unit: observe.Ratio})
	}
	if u, ok := p.Utilisation(); ok {
		e = append(e, analysis.Evidence{Metric: catalog.CPUIdle, Label: "host busy", Value: u, Unit: observe.Ratio, Bound: analysis.Bound(p.Param(fullHost))})
	}
	return e
}

func (g *group) summary(p *facts.Pass, cause string, culprits []facts.Culprit) string {
	text := fmt.Sprintf("%s waits for a CPU for %s of its time", g.name(p), analysis.Percent(g.share()))
	if g.counted && g.p99 > 0 {
		text += fmt.Sprintf(", %s at a time (p99)", analysis.Seconds(g.p99))
	}
	switch cause {
	case noisyNeighbour:
		c := stranger(culprits)
		if len(c.Processes) == 0 {
			return text + ": other processes had it"
		}
		return text + fmt.Sprintf(": %s had it for %s of the wait", c.Name, analysis.Percent(c.Share))
	case ownThreads:
		return text + fmt.Sprintf(": its own threads compete for %s", analysis.Cores(p.EffectiveCPUs(g.processes[0])))
	}
	if robbed(p) {
		return text + fmt.Sprintf(": the hypervisor takes %s of the CPU time of the host", analysis.Percent(p.Steal()))
	}
	u, _ := p.Utilisation()
	text += fmt.Sprintf(": the host is %s busy", analysis.Percent(u))
	if c := stranger(culprits); !g.fullHost(p) && len(c.Processes) > 0 {
		text += fmt.Sprintf(", and %s, which serves clients too, had the CPU for %s of the wait", c.Name, analysis.Percent(c.Share))
	}
	return text
}

// stranger returns the largest culprit of another owner.
func stranger(culprits []facts.Culprit) facts.Culprit {
	if c, ok := facts.Stranger(culprits); ok {
		return c
	}
	return facts.Culprit{Name: "others"}
}
