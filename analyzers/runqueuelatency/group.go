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
	// owned are all processes of the owner, of which these can be a part.
	owned []observe.ID
	// wait is seconds ready to run without a CPU, quotas apart.
	wait, cpu, throttled float64
	// counted says that single delays were observed, p99 is theirs.
	counted bool
	p99     float64

	delays observe.Hist
	runs   float64
}

// groups returns the victims of the window, by owner, in order of appearance.
// Work that never sleeps is no victim: it takes every CPU second that there
// is, and a second one makes it wait by definition.
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

// late returns the group, if it waits as a whole, else those of its processes
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

// finish takes throttling out of the wait: most kernels count it as waiting.
func (g *group) finish(p *facts.Pass) {
	if _, whose, ok := p.CPULimit(g.processes[0]); ok {
		g.throttled = min(g.wait, p.IncreaseOr0(catalog.CgroupThrottledS, whose))
	}
	// Delays of less than a millisecond are in runs and not in delays; a p99
	// among them is no trouble, and 0 here.
	g.counted = p.Has(catalog.RunQueueDelay)
	g.owned = g.processes
	g.p99 = capacity.LagsOf(g.delays.Count, g.delays.Sum).CountQuantile(g.runs, 0.99)
}

// share is the part of its waiting and running that was waiting.
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
// scheduler looks for such a thread at every tick.
const tooLong = 1

// beside says that the waits are longer than they can be beside idle CPUs. Seen
// once on Linux 6.18: 15 s in one thread's run_delay (/proc/PID/schedstat), with
// 1.3 of two CPUs idle. Then the number is wrong, or the hypervisor held a CPU.
func (g *group) beside(p *facts.Pass) bool {
	idle, known := p.IdleCores()
	return known && idle >= freeCore && g.p99 >= tooLong && g.anywhere(p)
}

// anywhere says that all of its processes may use every CPU, as far as that is
// known of one at least.
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

// subject is what the owner's processes are together, also where not all of them
// wait: which ones do changes from window to window.
func (g *group) subject(p *facts.Pass) observe.ID {
	if len(g.owned) == 1 {
		return g.processes[0]
	}
	return p.Group(g.owned)
}

// subjects are the processes that wait, where the owner has several.
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

// servingProcesses are those whose event loop serves clients.
func servingProcesses(p *facts.Pass) map[observe.ID]bool {
	serves := make(map[observe.ID]bool)
	for _, l := range p.Loops() {
		serves[l.Process] = serves[l.Process] || l.Serves
	}
	return serves
}

// isImportant says whose waiting clients notice, beside event loops: what
// listens, or belongs to a container or a service.
func isImportant(p *facts.Pass, process observe.ID) bool {
	if p.Attr(process, catalog.AttrKernelThread) == "true" {
		return false
	}
	listens, _ := p.Last(catalog.ProcessListens, process)
	return listens > 0 || p.Managed(process)
}

const (
	// always is the share of the window from which a thread that ran or waited
	// for a CPU never slept.
	always = 0.9
	// hogShare is the share of a process's demand that such threads must have.
	hogShare = 0.5
)

// alwaysRunnable says which processes spend most of their demand in threads
// that never sleep: batch work, also where a loop beside it serves its metrics.
// A loop that serves is no such thread: a full one is late all the more.
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

// servingThreads are the threads of loops that serve: a loop has its thread's id.
func servingThreads(p *facts.Pass) map[string]bool {
	threads := make(map[string]bool)
	for _, l := range p.Loops() {
		if l.Serves && !l.Spins {
			threads[p.Index.Entity(l.ID).ID] = true
		}
	}
	return threads
}

// demandOf is the share of the window in which a thread ran or was ready to.
func demandOf(p *facts.Pass, thread observe.ID) float64 {
	run, _ := p.Rate(catalog.ThreadCPU, thread)
	wait, _ := p.Rate(catalog.ThreadRunQueue, thread)
	return run + wait
}

const (
	// crowd is how many times as many threads as CPUs make a group crowd itself
	// out: a few helpers beside as many busy threads as CPUs do not.
	crowd = 1.5
	// helpers is how many threads a runtime has for itself in each process: V8 and
	// libuv have pools of four, a JVM about as many for its collector and compilers.
	helpers = 4
)

// crowded reports whether the group has more busy threads than CPUs, or that is
// not known. If not, its threads are late because the work is too much. On a host
// with idle CPUs the helpers of its runtimes do not count: they wake together for a
// garbage collection and at the start, and no setting of the service changes that.
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
