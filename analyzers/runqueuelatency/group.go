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

	delays observe.Hist
	runs   float64
}

// groups returns the victims of the window, by owner, in order of appearance. Work
// that never sleeps is not a victim: it uses every CPU second available, so any
// other work makes it wait.
func groups(p *facts.Pass) []*group {
	serves := servingProcesses(p)
	hogs := alwaysRunnable(p, serves)
	var victims []observe.ID
	for process := range p.Entities(catalog.ProcessRunQueue) {
		if !hogs(process) && (serves[process] || isImportant(p, process)) {
			victims = append(victims, process)
		}
	}
	var all []*group
	for _, processes := range facts.GroupBy(slices.Values(victims), p.Owner) {
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

// late returns the group if it waits as a whole, otherwise those of its processes
// that wait.
func (g *group) late(p *facts.Pass) []*group {
	if g.severity(p) > analysis.Healthy {
		return []*group{g}
	}
	var late []*group
	for _, process := range g.processes {
		if wait, _ := p.Rate(catalog.ProcessRunQueue, process); wait < p.Param(leastWait) {
			continue
		}
		one := newGroup()
		one.add(p, process)
		one.finish(p)
		one.owned = g.processes
		if one.severity(p) > analysis.Healthy {
			late = append(late, one)
		}
	}
	return late
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
	if g.wait <= 0 || g.throttled >= p.Param(throttleShare)*g.wait || (g.wait-g.throttled)/p.Seconds < p.Param(leastWait) {
		return analysis.Healthy
	}
	if !g.counted {
		return warnIf(g.share() > p.Param(criticalShare))
	}
	long, lost := g.p99 > p.Param(warnDelay), (g.wait-g.throttled)/p.Seconds
	if g.p99 > p.Param(criticalDelay) || long && g.share() > p.Param(criticalShare) && lost > p.Param(criticalWait) {
		return analysis.Critical
	}
	return warnIf(long || g.p99 >= p.Param(feltDelay) && g.share() > p.Param(warnShare))
}

// tooLong is a wait that no task has while a CPU that it may use is idle: the
// scheduler searches for such a thread at every tick.
const tooLong = 1

// beside reports whether the waits are longer than possible while CPUs are idle.
// Seen once on Linux 6.18: 15 s in one thread's run_delay (/proc/PID/schedstat),
// with 1.3 of two CPUs idle. Then the number is wrong, or the hypervisor had taken
// a CPU.
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

func warnIf(late bool) analysis.Severity {
	if late {
		return analysis.Warning
	}
	return analysis.Healthy
}

// subject is what the owner's processes are together, even if only some of them
// wait: which ones do changes from window to window.
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

// servingProcesses returns the processes whose event loop serves clients.
func servingProcesses(p *facts.Pass) map[observe.ID]bool {
	serves := make(map[observe.ID]bool)
	for _, l := range p.Loops() {
		serves[l.Process] = serves[l.Process] || l.Serves
	}
	return serves
}

// isImportant reports whether clients notice if a process without an event loop
// waits: it listens, or belongs to a container or a service.
func isImportant(p *facts.Pass, process observe.ID) bool {
	if p.Attr(process, catalog.AttrKernelThread) == "true" {
		return false
	}
	listens, _ := p.Last(catalog.ProcessListens, process)
	return listens > 0 || p.Managed(process)
}

const (
	// always is the share of the window from which a thread that ran or waited for a
	// CPU counts as one that never slept.
	always = 0.9
	// hogShare is the share of a process's demand that such threads must have.
	hogShare = 0.5
)

// alwaysRunnable returns a function that reports whether a process spends most of
// its demand in threads that never sleep: batch work, even if a loop of the process
// serves its metrics. The thread of a loop that serves clients is not counted: a
// full loop suffers most from waits.
func alwaysRunnable(p *facts.Pass, serves map[observe.ID]bool) func(observe.ID) bool {
	loops := servingThreads(p)
	hog := make(map[observe.ID]float64)
	for thread := range p.Entities(catalog.ThreadCPU) {
		demand := demandOf(p, thread)
		if demand < always || loops[p.Index.Entity(thread).ID] {
			continue
		}
		if process, ok := p.Index.Ancestor(thread, observe.Process); ok {
			hog[process] += demand
		}
	}
	return func(process observe.ID) bool {
		run, _ := p.Rate(catalog.ProcessCPU, process)
		wait, _ := p.Rate(catalog.ProcessRunQueue, process)
		threads, _ := p.Last(catalog.ProcessThreads, process)
		return hog[process] > hogShare*(run+wait) || !serves[process] && threads > 0 && (run+wait)/threads >= always
	}
}

// servingThreads returns the threads of loops that serve clients: a loop has the ID
// of its thread.
func servingThreads(p *facts.Pass) map[string]bool {
	threads := make(map[string]bool)
	for _, l := range p.Loops() {
		if l.Serves && !l.Spins {
			threads[p.Index.Entity(l.ID).ID] = true
		}
	}
	return threads
}

// demandOf returns the share of the window in which a thread ran or was ready to
// run.
func demandOf(p *facts.Pass, thread observe.ID) float64 {
	run, _ := p.Rate(catalog.ThreadCPU, thread)
	wait, _ := p.Rate(catalog.ThreadRunQueue, thread)
	return run + wait
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
	for thread := range p.Entities(catalog.ThreadCPU) {
		if process, ok := p.Index.Ancestor(thread, observe.Process); ok && slices.Contains(g.processes, process) {
			demands = append(demands, demandOf(p, thread))
		}
	}
	n, cpus := capacity.Parallelism(demands), p.EffectiveCPUs(g.processes[0])
	if demand := (g.wait - g.throttled + g.cpu) / p.Seconds; demand < p.Param(fullHost)*cpus {
		n = max(0, n-float64(helpers*len(g.processes)))
	}
	return len(demands) == 0 || n > crowd*cpus
}
