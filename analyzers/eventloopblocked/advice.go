// SPDX-License-Identifier: Apache-2.0

package eventloopblocked

import (
	"fmt"
	"math"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/capacity"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// advise says what to do about the cause; about the top two when it is mixed.
func (v view) advise(p *facts.Pass, c cause, f *analysis.Finding) {
	if c.cause != mixed {
		v.adviseOne(p, c, c.cause, f)
		v.adviseRest(p, c, f)
		return
	}
	v.adviseOne(p, c, c.parts[0].cause, f)
	v.adviseOne(p, c, c.parts[1].cause, f)
}

// adviseRest adds what to do about a second cause that would leave the loop
// late by itself: a limit that is raised uncovers the work that it stretched.
func (v view) adviseRest(p *facts.Pass, c cause, f *analysis.Finding) {
	left := v.without(c.parts[0].seconds)
	if v.filledBy(p, c.parts[0].seconds) {
		return
	}
	if c.parts[1].share >= worthTelling && v.level(p, left, v.Busy) >= analysis.Warning {
		v.adviseOne(p, c, c.parts[1].cause, f)
	}
}

func (v view) adviseOne(p *facts.Pass, c cause, name string, f *analysis.Finding) {
	var r analysis.Recommendation
	to := v.without(c.of(name).seconds)
	switch name {
	case onCPU:
		if v.fillsHost(p) {
			f.Recommendations = append(f.Recommendations, v.moreNodes(p))
		}
		r = v.spreadWork(p)
		to = v.lags.Replace(facts.LongTick, handOff)
	case blockingCall:
		r = v.makeAsync(p, c)
	case cpuThrottled:
		r = v.raiseLimit(p)
	case runQueue:
		culprits := p.Culprits(v.Process)
		f.Blame = p.BlameOf(culprits)
		r = v.freeCPU(p, culprits)
	case pageFault:
		r = v.addMemory(p)
	}
	r.Verify = fmt.Sprintf("headroom.loop.lag p99 of %s falls below %s", p.Command(v.Process), analysis.Seconds(p.Param(warnLag)))
	r.Expect = []analysis.Expectation{{Metric: catalog.LoopLag, Label: "p99", From: v.p99(v.lags), To: v.p99(to), Unit: observe.Seconds}}
	f.Recommendations = append(f.Recommendations, r)
}

// fullHost is the share of its CPU time that a host is busy from which work
// that moves to another thread finds no core (run-queue-latency's full-host).
const fullHost = 0.85

// fillsHost reports whether the loop has more work than it can do on a host
// that has no more to give: another thread would wait instead of it.
func (v view) fillsHost(p *facts.Pass) bool {
	u, known := p.Utilisation()
	return known && u >= fullHost && v.Busy > p.Param(fullLoop)
}

// moreNodes is for a loop that fills its host; host-saturated has the numbers.
func (v view) moreNodes(p *facts.Pass) analysis.Recommendation {
	return analysis.Recommendation{
		Verb: analysis.AddNodes, Quantity: p.MoreNodes(),
		Action: fmt.Sprintf("Add nodes and spread the work of %s over them: it has more work than this host can do", p.Name(v.ID)),
		Verify: fmt.Sprintf("headroom.loop.busy.time of %s falls below %s of the time", p.Command(v.Process), analysis.Percent(saturated)),
		Risk:   "a database behind it gets more connections",
		NotIf:  "a single request takes that long: it takes as long on any node",
	}
}

// handOff is what a tick that hands work to another thread takes: generous.
const handOff = 0.001

// workers is how many threads or processes the work of the long ticks keeps
// busy for 70 % of the time (the wait factor of M/G/1 is 2.3 there), no more
// than there are idle cores. A loop that is full hides how much more there is.
func (v view) workers(p *facts.Pass, unit string) *analysis.Estimate {
	work := min(1, v.Long.CPU/v.Seconds)
	most := math.Inf(1)
	if idle, ok := p.UsableIdle(v.ID); ok {
		most = max(1, math.Round(idle))
	}
	const planned, tight, roomy = 0.7, 0.9, 0.5
	e := &analysis.Estimate{Value: min(most, float64(capacity.Spread(work, planned))), Unit: unit}
	e.Low = analysis.Bound(min(e.Value, float64(capacity.Spread(work, tight))))
	if v.Busy < p.Param(fullLoop) {
		e.High = analysis.Bound(max(e.Value, min(most, float64(capacity.Spread(work, roomy)))))
	}
	return e
}

// spreadWork moves computing off the loop, by what is true of the runtime.
func (v view) spreadWork(p *facts.Pass) analysis.Recommendation {
	name := p.Name(v.ID)
	switch v.Runtime {
	case "redis":
		return analysis.Recommendation{
			Verb:   analysis.MakeAsync,
			Action: fmt.Sprintf("Replace slow commands on %s with incremental ones (SCAN for KEYS, UNLINK for DEL): SLOWLOG GET lists them", name),
			Risk:   "SCAN can return a key twice",
			NotIf:  "SLOWLOG GET lists no command as long as these ticks: then the process forks to save, or swaps",
		}
	case "python":
		n := v.workers(p, "processes")
		return analysis.Recommendation{
			Verb: analysis.AddProcesses, Quantity: n,
			Action: fmt.Sprintf("Move the CPU-bound work of %s to a pool of %s (ProcessPoolExecutor)", name, analysis.Number(n.Value, "process", "processes")),
			Risk:   "each process holds its own copy of the data",
			NotIf:  "the work is C code that releases the GIL: threads (asyncio.to_thread) are enough then",
		}
	case "nginx":
		n := v.workers(p, "processes")
		return analysis.Recommendation{
			Verb: analysis.AddProcesses, Quantity: n,
			Action: fmt.Sprintf("Add %s to worker_processes of %s, so that one long tick delays fewer connections", analysis.Number(n.Value, "process", "processes"), name),
			Risk:   "connections of one keep-alive client stay with one worker",
			NotIf:  "no core is idle, or a single request takes that long: then lower gzip_comp_level, or move the script to another process",
		}
	}
	n := v.workers(p, "threads")
	r := analysis.Recommendation{
		Verb: analysis.MoveToWorkerThreads, Quantity: n,
		Action: fmt.Sprintf("Move the CPU-bound work of %s to %s", name, analysis.Number(n.Value, "worker thread", "worker threads")),
		Risk:   "data passed to a worker thread is copied, unless it is in shared memory",
		NotIf:  "each long tick serves many short requests (then add processes), or no core is idle",
	}
	if isV8(v.Runtime) {
		r.NotIf = "it is garbage collection (GC), which cannot move to a thread; or each long tick serves many short requests (then add processes); or no core is idle"
	}
	return r
}

func (v view) makeAsync(p *facts.Pass, c cause) analysis.Recommendation {
	call := "its blocking calls"
	kind := kindOf("")
	if len(c.calls) > 0 {
		kind = kindOf(c.calls[0].Syscall)
		call = fmt.Sprintf("the %s calls (%s)", c.calls[0].Syscall, kind.means)
	}
	return analysis.Recommendation{
		Verb:   analysis.MakeAsync,
		Action: fmt.Sprintf("Make %s of %s asynchronous: use %s", call, p.Name(v.ID), kind.insteadFor(v.Runtime)),
		Risk:   "calls that ran one after the other now run at the same time: bound how many",
		NotIf:  "it happens only at start-up",
	}
}

func (v view) raiseLimit(p *facts.Pass) analysis.Recommendation {
	limit, whose, ok := p.CPULimit(v.ID)
	if !ok {
		return analysis.Recommendation{
			Verb:   analysis.RaiseCPULimit,
			Action: fmt.Sprintf("Raise the CPU limit of %s", p.Name(v.ID)),
			NotIf:  "no idle core is left on the host",
		}
	}
	r := analysis.Recommendation{
		Verb:   analysis.RaiseCPULimit,
		Action: p.RaiseCPULimit(whose, limit, 0),
		Risk:   "other processes on the host get less CPU",
		NotIf:  "the host has no idle core: it then waits for a CPU instead",
	}
	if q, known := p.Quota(whose); known {
		value, low, high := capacity.RaisedCPULimit(limit, q.Demand, q.Average, q.Threads, p.CPUs())
		r.Quantity = &analysis.Estimate{Value: value, Low: &low, High: &high, Unit: "cores"}
		r.Action = p.RaiseCPULimit(whose, limit, value)
	}
	return r
}

// freeCPU is for a loop that waits for a CPU; run-queue-latency, which it is a
// symptom of, has the numbers.
func (v view) freeCPU(p *facts.Pass, culprits []facts.Culprit) analysis.Recommendation {
	if c, ok := neighbour(culprits); ok {
		return analysis.Recommendation{
			Verb:   analysis.CapNeighbour,
			Action: fmt.Sprintf("Cap the CPU of %s, or move it off the CPUs of %s", c.Name, p.Name(v.ID)),
			Risk:   "the capped process takes longer",
			NotIf:  "the neighbour matters more: then move one of the two to another host",
		}
	}
	return analysis.Recommendation{
		Verb: analysis.AddNodes, Quantity: p.MoreNodes(),
		Action: fmt.Sprintf("Give %s a free CPU: add nodes and spread its work over them", p.Name(v.ID)),
		Risk:   "a database behind it gets more connections",
		NotIf:  "its own threads compete for one core: then let it use more cores",
	}
}

// neighbour is the stranger that took most of the wait, if it took enough to
// be worth capping (run-queue-latency's strangers-share).
func neighbour(culprits []facts.Culprit) (facts.Culprit, bool) {
	const worthCapping = 0.3
	for _, c := range culprits {
		if !c.Own {
			return c, c.Share >= worthCapping
		}
	}
	return facts.Culprit{}, false
}

// addMemory is for page faults that waited for a disk, or for a limit: above
// memory.high the kernel puts a task to sleep where its fault ends
// (mem_cgroup_handle_over_high in mm/memcontrol.c), and no page is read.
func (v view) addMemory(p *facts.Pass) analysis.Recommendation {
	const most = 0.5
	if v.stalledForMemory(p) > most*v.Long.PageFault {
		return analysis.Recommendation{
			Verb:   analysis.AddMemory,
			Action: fmt.Sprintf("Give the cgroup of %s more memory: its tasks waited for memory", p.Name(v.ID)),
			Risk:   "other processes on the host get less memory",
			NotIf:  "memory.high was set on purpose, to slow it down instead of killing it",
		}
	}
	return analysis.Recommendation{
		Verb:   analysis.AddMemory,
		Action: fmt.Sprintf("Add memory for %s until its pages stay resident", p.Name(v.ID)),
		Risk:   "a larger heap takes longer to collect",
		NotIf:  "it reads the file for the first time (a cold start): then read it ahead",
	}
}
