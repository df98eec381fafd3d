// SPDX-License-Identifier: Apache-2.0

package runqueuelatency

import (
	"fmt"
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/capacity"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// A group is the processes of one owner that matter to clients: they wait,
// run and are woken together.
type group struct {
	processes []observe.ID
	// owned holds all processes of the owner; the group can be a part of them.
	owned []observe.ID
	// wait is the time, in seconds, ready to run without a CPU, not including quotas.
	wait, cpu, throttled float64
	// counted is set if single delays were observed; p99 is their quantile.
	counted bool
	p99     float64

	// serves is set if one of their event loops serves clients; late is set if the
	// requests of one are late, largely because it waits for a CPU.
	serves, late bool

	delays observe.Hist
	runs   float64
}

// groups returns the victims of the window, by owner, in order of appearance. Work
// that never sleeps is not a victim: it uses every CPU second available, so any
// other work makes it wait.
func groups(p *facts.Pass) []*group {
	isVictim := victims(p)
	var late []observe.ID
	for process := range p.Entities(catalog.ProcessRunQueue) {
		if isVictim(process) {
			late = append(late, process)
		}
	}
	var all []*group
	for _, processes := range facts.GroupBy(slices.Values(late), p.Owner) {
		g := newGroup()
		for _, process := range processes {
			g.add(p, process)
		}
		g.finish(p)
		all = append(all, g)
	}
	return all
}

func newGroup() *group {
	return &group{delays: observe.NewHist(catalog.RunQueueDelay)}
}

// waiting returns the group if it waits as a whole, otherwise those of its processes
// that wait.
func (g *group) waiting(p *facts.Pass) []*group {
	if g.severity(p) > analysis.Healthy {
		return []*group{g}
	}
	var waiters []*group
	for _, process := range g.processes {
		if wait, _ := p.Rate(catalog.ProcessRunQueue, process); wait < p.Param(leastWait) {
			continue
		}
		one := newGroup()
		one.add(p, process)
		one.finish(p)
		one.owned = g.processes
		if one.severity(p) > analysis.Healthy {
			waiters = append(waiters, one)
		}
	}
	return waiters
}

func (g *group) add(p *facts.Pass, process observe.ID) {
	g.processes = append(g.processes, process)
	g.wait += p.IncreaseOr0(catalog.ProcessRunQueue, process)
	g.cpu += p.IncreaseOr0(catalog.ProcessCPU, process)
	g.runs += p.IncreaseOr0(catalog.ProcessRuns, process)
	if h, ok := p.Hist(catalog.RunQueueDelay, process); ok {
		g.delays.Add(h)
	}
}

// finish subtracts throttling from the wait: most kernels count it as waiting.
func (g *group) finish(p *facts.Pass) {
	if _, whose, ok := p.CPULimit(g.processes[0]); ok {
		g.throttled = min(g.wait, p.IncreaseOr0(catalog.CgroupThrottledS, whose))
	}
	// Delays of less than a millisecond are counted in runs but not in delays; a p99
	// among them is harmless and is 0 here.
	g.counted = p.Has(catalog.RunQueueDelay)
	g.owned = g.processes
	for _, l := range p.Loops() {
		if l.Serves && slices.Contains(g.processes, l.Process) {
			g.serves = true
			g.late = g.late || isLate(p, l)
		}
	}
	g.p99 = capacity.LagsOf(g.delays.Count, g.delays.Sum).CountQuantile(g.runs, 0.99)
}

// share is the waiting time divided by waiting and running time.
func (g *group) share() float64 {
	wait := g.wait - g.throttled
	if wait+g.cpu <= 0 {
		return 0
	}
	return wait / (wait + g.cpu)
}

func (g *group) severity(p *facts.Pass) analysis.Severity {
	lost := (g.wait - g.throttled) / p.Seconds
	if g.wait <= 0 || g.throttled >= p.Param(throttleShare)*g.wait || lost < p.Param(leastWait) {
		return analysis.Healthy
	}
	if !g.counted {
		return warnIf(g.share() > p.Param(criticalShare))
	}
	long := g.p99 > p.Param(warnDelay) && (g.serves || lost >= p.Param(leastWaitNoLoop))
	if g.p99 > p.Param(criticalDelay) || long && g.share() > p.Param(criticalShare) && lost > p.Param(criticalWait) {
		return analysis.Critical
	}
	slow := g.p99 >= p.Param(feltDelay) && g.share() > p.Param(warnShare) && lost >= p.Param(leastWaitNoLoop)
	return warnIf(long || slow || g.late)
}

// queuedPart is the part of a loop's long ticks from which waiting for a CPU is a reason
// why its requests are late.
const queuedPart = 0.3

// isLate reports whether requests to a loop are late because it waits for a CPU, however
// short each wait is.
func isLate(p *facts.Pass, l *facts.LoopView) bool {
	lags := capacity.LagsOf(l.Lag.Count, l.Lag.Sum).With(l.Current)
	return lags.Quantile(l.Seconds, 0.99) > p.Param(lateLoop) && l.Long.RunQueue > queuedPart*l.Long.Total()
}

// tooLong is a wait that no task has while a CPU that it may use is idle: the
// scheduler searches for such a thread at every tick.
const tooLong = 1

// beside reports whether the waits are longer than possible while CPUs are idle.
// This was observed once on Linux 6.18: 15 s in one thread's run_delay
// (/proc/PID/schedstat), with 1.3 of two CPUs idle. In this case the number is wrong, or
// the hypervisor had taken a CPU.
func (g *group) beside(p *facts.Pass) bool {
	idle, known := p.IdleCores()
	return known && idle >= freeCore && g.p99 >= tooLong && g.anywhere(p)
}

// anywhere reports whether all of its processes may use every CPU, if that is known
// for at least one.
func (g *group) anywhere(p *facts.Pass) bool {
	known := false
	for _, process := range g.processes {
		n, ok := p.Last(catalog.ProcessAffinity, process)
		if ok && n < p.CPUs() {
			return false
		}
		known = known || ok
	}
	return known
}

// pinned reports whether a process of the group may not use every CPU.
func (g *group) pinned(p *facts.Pass) bool {
	return slices.ContainsFunc(g.processes, func(process observe.ID) bool {
		n, known := p.Last(catalog.ProcessAffinity, process)
		return known && n < p.CPUs()
	})
}

func warnIf(late bool) analysis.Severity {
	if late {
		return analysis.Warning
	}
	return analysis.Healthy
}

// subject returns the entity of all of the owner's processes, even if only some of them
// wait, because it changes from window to window which ones do.
func (g *group) subject(p *facts.Pass) observe.ID {
	if len(g.owned) == 1 {
		return g.processes[0]
	}
	return p.Group(g.owned)
}

// subjects returns the processes that wait, if the owner has several.
func (g *group) subjects() []observe.ID {
	if len(g.owned) == 1 {
		return nil
	}
	return g.processes
}

func (g *group) name(p *facts.Pass) string {
	if n := len(g.processes); n > 1 {
		return fmt.Sprintf("%s (%d processes)", p.Name(g.subject(p)), n)
	}
	return p.Name(g.processes[0])
}

// victims returns a function that reports whether a process matters to clients: its
// loop serves, it has clients or messages itself, or a process of its container or
// service has. If sockets were not read, every container and service matters. A build in
// a container, the job of a timer, and an observer are not victims.
func victims(p *facts.Pass) func(process observe.ID) bool {
	serves, hogs := p.ServingProcesses(), p.AlwaysRunnable()
	owners := make(map[string]bool)
	for process := range p.Entities(catalog.ProcessRunQueue) {
		a := p.AudienceOf(process)
		if a == facts.Clients || a == facts.Broker || a == facts.UnknownAudience && p.Managed(process) || serves[process] {
			owners[p.Owner(process)] = true
		}
	}
	return func(process observe.ID) bool {
		return owners[p.Owner(process)] && !hogs(process) && !p.IsObserver(process) && p.Attr(process, catalog.AttrKernelThread) != "true"
	}
}

const (
	// crowd is the number of threads per CPU from which a group delays itself: a few
	// helpers in addition to as many busy threads as CPUs do not.
	crowd = 1.5
	// helpers is the number of threads of a runtime itself in each process: V8 and
	// libuv have pools of four, a JVM about as many for its collector and compilers.
	helpers = 4
)

// crowded reports whether the group has more busy threads than CPUs, or whether
// that is not known. If not, its threads are late because there is too much work.
// On a host with idle CPUs the helpers of runtimes do not count: they wake together
// for a garbage collection and at the start, and no setting of the service changes
// that.
func (g *group) crowded(p *facts.Pass) bool {
	var demands []float64
	for _, thread := range g.threads(p) {
		demands = append(demands, p.ThreadDemand(thread))
	}
	n, cpus := capacity.Parallelism(demands), p.EffectiveCPUs(g.processes[0])
	if demand := (g.wait - g.throttled + g.cpu) / p.Seconds; demand < p.Param(fullHost)*cpus {
		n = max(0, n-float64(helpers*len(g.processes)))
	}
	return len(demands) == 0 || n > crowd*cpus
}
