// SPDX-License-Identifier: Apache-2.0

package hostsaturated

import (
	"fmt"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/capacity"
	"github.com/headroom-project/headroom/analyzers/facts"
)

var (
	fullHost = &analysis.Param{Name: "full-host", Unit: observe.Ratio, Default: 0.8,
		Doc: "Share of its CPU time for which the host is busy. From here on waiting grows fast: the wait factor of M/G/1 is 4. A busy host in which no task waits is not a problem."}
	warnPressure = &analysis.Param{Name: "warn-pressure", Unit: observe.Ratio, Default: 0.10, Enters: true,
		Doc: "Share of the window in which at least one task waited for a CPU (PSI cpu some): between the target of senpai (0.2 %) and the limit of systemd-oomd (60 %, for memory)."}
	criticalPressure = &analysis.Param{Name: "critical-pressure", Unit: observe.Ratio, Default: 0.25,
		Doc: "PSI cpu some that is critical, if a service is delayed by it."}
	warnDelay = &analysis.Param{Name: "warn-delay", Unit: observe.Seconds, Default: 0.010, Enters: true,
		Doc: "p99 wait per wake-up over the host: three slices of the scheduler, as in run-queue-latency."}
	feltDelay = &analysis.Param{Name: "felt-delay", Unit: observe.Seconds, Default: 0.005,
		Doc: "p99 wait per wake-up below which pressure has no effect that users notice: with as many busy threads as cores, some task always waits half a slice. As in run-queue-latency."}
	warnSteal = &analysis.Param{Name: "warn-steal", Unit: observe.Ratio, Default: 0.10, Enters: true,
		Doc: "Share of its CPU time that the hypervisor gave to other guests: Netdata warns at 10 %. More instances of the same type get as little."}
)

// runCPU evaluates the cause cpu.
func runCPU(p *facts.Pass, node observe.ID) []analysis.Finding {
	if !p.Has(catalog.CPUIdle) {
		p.Skip("the use of the CPUs was not observed", catalog.CPUIdle)
		return nil
	}
	s := look(p, node)
	if severity := s.severity(p); severity > analysis.Healthy {
		return []analysis.Finding{s.finding(p, node, severity)}
	}
	return nil
}

// A state holds the activity of the host's CPUs.
type state struct {
	busy float64 // share of the CPU time, including stolen time
	// pressure is PSI cpu some; counted is set if single delays were observed.
	pressure         float64
	pressed, counted bool
	delay, lateLoops float64
	// full holds the event loops that serve clients, are late and have no time left.
	full, fullBusy    float64
	steal, cpus, lost float64
	crowd             crowd
	// observers is what headroom used, in cores; confined says that pinned
	// processes wait for each other while other CPUs are idle.
	observers float64
	confined  bool
	// repeats is the CPU use, in cores, of calls that one query would replace.
	repeats float64
}

func look(p *facts.Pass, node observe.ID) state {
	s := state{cpus: p.CPUs()}
	s.busy, _ = p.Utilisation()
	s.pressure, s.pressed = p.Rate(catalog.HostCPUSome, node)
	s.steal = p.Steal()
	s.delays(p)
	s.lost = min(1, s.pressure)
	s.crowd = crowdOf(p)
	s.observers = p.ObserverUse()
	s.confined = confined(p)
	s.repeats = p.RepeatsCPU()
	for _, l := range p.Loops() {
		if !l.Serves {
			continue
		}
		s.lateLoops = max(s.lateLoops, l.Long.RunQueue/l.Seconds)
		lags := capacity.LagsOf(l.Lag.Count, l.Lag.Sum).With(l.Current)
		if l.Busy >= fullLoop && lags.Mean(l.Seconds) >= lateMean {
			s.full++
			s.fullBusy += l.Long.CPU / l.Seconds
		}
	}
	return s
}

// delays sets the p99 wait per wake-up of the host, or of the server that waits
// longest: a server that wakes a hundred times a second would disappear among ten
// thousand short runs of others.
func (s *state) delays(p *facts.Pass) {
	s.counted = p.Has(catalog.RunQueueDelay)
	all := observe.NewHist(catalog.RunQueueDelay)
	total := 0.0
	for process := range p.Entities(catalog.ProcessRuns) {
		runs := p.IncreaseOr0(catalog.ProcessRuns, process)
		total += runs
		h, ok := p.Hist(catalog.RunQueueDelay, process)
		if !ok {
			continue
		}
		all.Add(h)
		if listens, _ := p.Last(catalog.ProcessListens, process); listens > 0 && runs >= enoughRuns {
			s.delay = max(s.delay, p99(h, runs))
		}
	}
	s.delay = max(s.delay, p99(all, total))
}

// idleEnough is how many idle cores make a host not full for processes that may not use
// them, as in run-queue-latency.
const idleEnough = 0.25

// confined reports whether most of the waiting is of processes that are pinned to some
// of the CPUs while others are idle. More nodes would not help them, other CPUs would.
func confined(p *facts.Pass) bool {
	if idle, known := p.IdleCores(); !known || idle < idleEnough {
		return false
	}
	all, pinned := 0.0, 0.0
	for process := range p.Entities(catalog.ProcessRunQueue) {
		wait := p.IncreaseOr0(catalog.ProcessRunQueue, process)
		all += wait
		if n, known := p.Last(catalog.ProcessAffinity, process); known && n < p.CPUs() {
			pinned += wait
		}
	}
	return pinned > all/2
}

// enoughRuns is how many turns a p99 takes to be more than one of them.
const enoughRuns = 200

func p99(h observe.Hist, runs float64) float64 {
	return capacity.LagsOf(h.Count, h.Sum).CountQuantile(runs, 0.99)
}

const (
	// fullLoop and lateMean define a full and late event loop: the thresholds at which
	// event-loop-blocked is critical.
	fullLoop, lateMean = 0.9, 0.020
	// loopsShare is the part of the used CPU time that such loops must have to count
	// as the cause of a full host.
	loopsShare = 0.5
)

// waitedInLoops reports whether loops that serve clients fill the host: if there
// are no more of them than CPUs, they never wait for one, and requests wait inside
// them.
func (s state) waitedInLoops() bool {
	return s.fullBusy > loopsShare*s.busy*s.cpus
}

// lateShare is the share of the window that the worst loop must have waited in its
// long ticks; below it, the host's pressure comes from batch work.
const lateShare = 0.02

func (s state) severity(p *facts.Pass) analysis.Severity {
	felt := !s.counted || s.delay >= p.Param(feltDelay)
	waited := s.pressed && felt && s.pressure >= p.Param(warnPressure) || s.counted && s.delay >= p.Param(warnDelay) || s.waitedInLoops()
	switch {
	case s.busy < p.Param(fullHost) || !waited || s.confined:
		return s.stolen(p)
	case s.pressure >= p.Param(criticalPressure) && s.lateLoops >= lateShare:
		return analysis.Critical
	}
	return analysis.Warning
}

// stolen returns the severity for a host that is not full of its own work.
func (s state) stolen(p *facts.Pass) analysis.Severity {
	if s.steal >= p.Param(warnSteal) {
		return analysis.Warning
	}
	return analysis.Healthy
}

func (s state) finding(p *facts.Pass, node observe.ID, severity analysis.Severity) analysis.Finding {
	f := analysis.Finding{
		Cause:      cpu,
		Severity:   severity,
		Confidence: s.confidence(),
		Impact:     max(s.lost, s.steal),
		Subject:    node,
		Summary:    s.summary(p, node),
		Evidence:   s.evidence(p),
	}
	if s.steal >= p.Param(warnSteal) {
		f.Recommendations = append(f.Recommendations, p.DedicatedCPUs(p.Param(warnSteal)))
	}
	s.explain(p, &f)
	if s.busy >= p.Param(fullHost) && !s.confined {
		all := cpuUsers(p)
		f.Recommendations = append(f.Recommendations, s.makeRoom(p, node, all))
		f.Blame = blame(p, all, s.cpus)
	}
	return f
}

// makeRoom is the cheapest recommendation for a full host that works.
func (s state) makeRoom(p *facts.Pass, node observe.ID, all []user) analysis.Recommendation {
	if b, ok := s.findBatch(p, all); ok {
		return s.limitBatch(p, node, b)
	}
	return s.moreNodes(p, node)
}

// confidence is high if the kernel's pressure and the measured delays agree.
func (s state) confidence() float64 {
	const both, one = 0.85, 0.6
	if s.pressed && s.counted {
		return both
	}
	return one
}

func (s state) summary(p *facts.Pass, node observe.ID) string {
	name := p.Name(node)
	if s.busy < p.Param(fullHost) {
		return fmt.Sprintf("%s loses %s of its CPU time to other guests of its hypervisor", name, analysis.Percent(s.steal))
	}
	text := fmt.Sprintf("%s is out of CPU: %s of %s busy", name, analysis.Percent(s.busy), analysis.Cores(s.cpus))
	if s.pressed {
		text += fmt.Sprintf(", tasks wait for a CPU %s of the time", analysis.Percent(s.pressure))
	}
	if s.counted && s.delay > 0 {
		text += fmt.Sprintf(", %s at a time (p99)", analysis.Seconds(s.delay))
	}
	if s.waitedInLoops() {
		text += fmt.Sprintf("; %s full and late", analysis.Number(s.full, "event loop that fills it is", "event loops that fill it are"))
	}
	if s.steal >= p.Param(warnSteal) {
		text += fmt.Sprintf("; the hypervisor takes %s", analysis.Percent(s.steal))
	}
	return text
}

func (s state) evidence(p *facts.Pass) []analysis.Evidence {
	e := []analysis.Evidence{
		{Metric: catalog.CPUIdle, Label: "host busy", Value: s.busy, Unit: observe.Ratio, Bound: analysis.Bound(p.Param(fullHost))},
	}
	if s.pressed {
		e = append(e, analysis.Evidence{Metric: catalog.HostCPUSome, Label: "share of the window", Value: s.pressure, Unit: observe.Ratio, Bound: analysis.Bound(p.Param(warnPressure))})
	}
	if s.counted {
		e = append(e, analysis.Evidence{Metric: catalog.RunQueueDelay, Label: "p99", Value: s.delay, Unit: observe.Seconds, Bound: analysis.Bound(p.Param(warnDelay))})
	}
	if s.observers > 0 {
		e = append(e, analysis.Evidence{Metric: catalog.ProcessCPU, Label: "of headroom itself", Value: s.observers, Unit: observe.Cores})
	}
	if s.steal > 0 {
		e = append(e, analysis.Evidence{Metric: catalog.CPUSteal, Label: "share of CPU time", Value: s.steal, Unit: observe.Ratio, Bound: analysis.Bound(p.Param(warnSteal))})
	}
	return e
}

func (s state) moreNodes(p *facts.Pass, node observe.ID) analysis.Recommendation {
	n := p.MoreNodes()
	action := "Add nodes"
	to := s.busy
	if n != nil {
		action = "Add " + analysis.Number(n.Value, "node", "nodes")
		to = s.busy * p.SpreadOver(n.Value)
	}
	return analysis.Recommendation{
		Verb: analysis.AddNodes, Quantity: n,
		Action: fmt.Sprintf("%s like %s and spread its services over them", action, p.Name(node)),
		Verify: fmt.Sprintf("headroom.host.pressure of CPU on %s falls below %s", p.Name(node), analysis.Percent(p.Param(warnPressure))),
		Risk:   "a database behind it that is already saturated gets slower",
		NotIf:  "a batch job that can wait fills the host (then limit it), or it is a peak of minutes (a backup, a cron job)",
		Expect: []analysis.Expectation{{Metric: catalog.CPUIdle, Label: "host busy", From: s.busy, To: to, Unit: observe.Ratio}},
	}
}
