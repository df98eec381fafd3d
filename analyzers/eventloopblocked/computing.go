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

// lessComputing is the recommendation for long ticks that run on the CPU. Another
// thread helps if a core is idle for it and a single request takes that long. On a
// full host the work itself must be reduced, or more hosts are needed. A full loop
// needs more processes.
func (v view) lessComputing(p *facts.Pass) []analysis.Recommendation {
	hostIsFull := v.onFullHost(p)
	switch more := v.moreProcesses(p); {
	case v.Runtime == "redis":
		return []analysis.Recommendation{v.incrementalCommands(p)}
	case hostIsFull && v.Busy > p.Param(fullLoop):
		return []analysis.Recommendation{v.moreNodes(p), v.reduceWork(p)}
	case hostIsFull:
		return []analysis.Recommendation{v.reduceWork(p)}
	case more != nil:
		return []analysis.Recommendation{*more}
	case v.mostlySystemCalls(p):
		return []analysis.Recommendation{v.fewerCalls(p)}
	}
	return []analysis.Recommendation{v.inTime(p, v.spreadWork(p), v.p99(v.lags.Replace(facts.LongTick, handOff)))}
}

// fullHost is the utilisation of a host from which work that moves to another
// thread finds no idle core (run-queue-latency's full-host).
const fullHost = 0.85

func (v view) onFullHost(p *facts.Pass) bool {
	u, known := p.Utilisation()
	return known && u >= fullHost
}

// handOff is the estimated time, in seconds, of a tick that hands work to another
// thread; it is an upper estimate.
const handOff = 0.001

// moreNodes is the recommendation for a loop that fills its host; host-saturated
// has the numbers.
func (v view) moreNodes(p *facts.Pass) analysis.Recommendation {
	n := p.MoreNodes()
	return analysis.Recommendation{
		Verb: analysis.AddNodes, Quantity: n,
		Action: fmt.Sprintf("Add %s and spread the work of %s over all nodes: it has more work than this host can do", analysis.Number(n.Value, "node", "nodes"), p.Name(v.ID)),
		Verify: v.lessBusy(p),
		Risk:   "a database behind it gets more connections",
		NotIf:  "a single request takes that long: it takes as long on any node",
		Expect: []analysis.Expectation{v.busyAfter(p.SpreadOver(n.Value))},
	}
}

func (v view) lessBusy(p *facts.Pass) string {
	return fmt.Sprintf("headroom.loop.busy.time of %s falls below %s of the time", p.Command(v.Process), analysis.Percent(saturated))
}

// busyAfter returns the expected share of time in ticks if this part of the loop's
// work remains.
func (v view) busyAfter(left float64) analysis.Expectation {
	return analysis.Expectation{Metric: catalog.LoopBusy, Label: "share of the window", From: v.Busy, To: v.Busy * left, Unit: observe.Ratio}
}

const (
	// From several long ticks on, a full loop has requests that queue up; a single one
	// is a hang.
	several = 3
	// plannedShare is the planned share of time in ticks. fullWorker is the share from
	// which a process of a service counts as a worker. Both are as in
	// worker-count-mismatch, which has the number for a pool.
	plannedShare, fullWorker = 0.65, 0.7
)

// moreProcesses is the recommendation for a loop that is full of several long ticks
// while cores are idle: each tick serves all requests that arrived during the
// previous one. A worker thread would only shorten the ticks of single requests
// that compute for long. It is nil for runtimes that use more cores in another way,
// and if no core is idle.
func (v view) moreProcesses(p *facts.Pass) *analysis.Recommendation {
	idle, known := p.UsableIdle(v.ID)
	room := math.Floor(idle / plannedShare)
	if !oneLoopPerProcess(v.Runtime) || v.Busy <= p.Param(fullLoop) || v.LongTicks < several || !known || room < 1 {
		return nil
	}
	n, busy := v.siblings(p)
	want := min(n+room, float64(capacity.Spread(busy, plannedShare)))
	if want <= n {
		return nil
	}
	r := &analysis.Recommendation{
		Verb:     analysis.AddProcesses,
		Quantity: &analysis.Estimate{Value: want - n, Low: analysis.Bound(1), High: analysis.Bound(room), Unit: "processes"},
		Action: fmt.Sprintf("Run %.0f processes of %s, %s more: requests queue up for its event loop, which is full",
			want, p.Command(v.Process), analysis.Number(want-n, "process", "processes")),
		Verify: v.lessBusy(p),
		Risk:   "state in memory (sessions, caches, counters) is no longer shared",
		NotIf:  "a single request takes that long: then shorten its work, or move it to a worker thread",
		Expect: []analysis.Expectation{v.busyAfter(n / want)},
	}
	if replicas, ok := p.MoreReplicas(v.ID, want-n); ok {
		r.Action = replicas + ": requests queue up for its event loop, which is full"
	}
	return r
}

// siblings returns the number of busy loops of the same program and owner,
// including this one, and the sum of their shares in ticks.
func (v view) siblings(p *facts.Pass) (n, busy float64) {
	for _, l := range p.Loops() {
		same := p.Owner(l.Process) == p.Owner(v.Process) && p.Command(l.Process) == p.Command(v.Process)
		if l.ID == v.ID || same && l.Busy >= fullWorker {
			n++
			busy += l.Busy
		}
	}
	return n, busy
}

// profilers maps a runtime to the way to find the function that runs.
var profilers = map[string]string{
	"node": "node --cpu-prof", "python": "py-spy record", "jvm": "a recording of JFR", "beam": "eprof", "dotnet": "dotnet-trace",
}

func (v view) profiler(p *facts.Pass) string {
	if profiler, ok := profilers[v.Runtime]; ok {
		return profiler
	}
	return "perf record -g -p " + p.Attr(v.Process, catalog.AttrPID)
}

// lessGarbage is the recommendation for long ticks that collect garbage. How close the heap
// is to its limit is not known here.
func (v view) lessGarbage(p *facts.Pass) analysis.Recommendation {
	collected, _ := p.Collected(v.LoopView)
	r := analysis.Recommendation{
		Verb: analysis.ReduceAllocation,
		Action: fmt.Sprintf("Allocate less in one tick of %s (node --heap-prof shows where): reuse objects, or process the data in parts",
			p.Name(v.ID)),
		Risk:  "an object that is reused must be reset first",
		NotIf: "the heap is close to its limit, so that V8 collects all the time (node --trace-gc): then raise the limit (--max-old-space-size)",
	}
	if c, ok := facts.Named(p.Allocators(v.LoopView)); ok {
		r.Action = fmt.Sprintf("Allocate less in %s: %s of the collector's time followed its allocations. Reuse objects, or process the data in parts",
			facts.FunctionName(c.Frames[0]), analysis.Percent(c.Share))
	}
	return v.inTime(p, r, v.p99(v.without(collected*v.Long.CPU)))
}

// kernelShare is the share of the CPU time in the kernel from which the work of a tick
// is system calls. JavaScript that computes has a few percent, a loop of openSync calls
// has half.
const kernelShare = 0.3

// mostlySystemCalls reports whether the long ticks spend their CPU time in system calls.
// nginx always does, and is left out.
func (v view) mostlySystemCalls(p *facts.Pass) bool {
	inKernel, known := p.KernelShare(v.LoopView)
	return known && inKernel >= kernelShare && v.Runtime != "nginx"
}

// fewerCalls is the recommendation for work in the kernel: a worker thread would make the
// same calls.
func (v view) fewerCalls(p *facts.Pass) analysis.Recommendation {
	async := "an asynchronous interface"
	if oneLoopPerProcess(v.Runtime) {
		async = "the asynchronous functions instead of the …Sync ones"
	}
	return v.inTime(p, analysis.Recommendation{
		Verb: analysis.ReduceWork,
		Action: fmt.Sprintf("Make fewer system calls in one tick of %s: cache their results, or read more at once; or use %s (perf trace -s -p %s lists the calls)",
			p.Name(v.ID), async, p.Attr(v.Process, catalog.AttrPID)),
		Risk:  "a cache can be out of date",
		NotIf: "the kernel maps new memory for it (page faults): then allocate less",
	}, p.Param(warnLag))
}

// reduceWork is the recommendation for a host without an idle core: another thread would
// only take CPU time from other tasks.
func (v view) reduceWork(p *facts.Pass) analysis.Recommendation {
	if v.mostlySystemCalls(p) {
		return v.fewerCalls(p)
	}
	if function := v.function(p); function != "" {
		return v.inTime(p, analysis.Recommendation{
			Verb:   analysis.ReduceWork,
			Action: fmt.Sprintf("Shorten %s, or split it into parts: no core is idle for another thread", function),
			Risk:   "work in parts takes longer as a whole",
			NotIf:  "other work that can wait fills the host: then limit that first",
		}, p.Param(warnLag))
	}
	return v.inTime(p, analysis.Recommendation{
		Verb: analysis.ReduceWork,
		Action: fmt.Sprintf("Find what %s computes for %s in one tick (%s), and shorten it or split it into parts: no core is idle for another thread",
			p.Name(v.ID), analysis.Seconds(v.lags.Longest()), v.profiler(p)),
		Risk:  "work in parts takes longer as a whole",
		NotIf: "other work that can wait fills the host: then limit that first",
	}, p.Param(warnLag))
}

// workers returns how many threads or processes do the work of the long ticks at a
// utilisation of 70 % (where the wait factor of M/G/1 is 2.3), at most the number
// of idle cores. A full loop hides how much more work there is.
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

// incrementalCommands is the recommendation for redis, which runs each command
// without interruption.
func (v view) incrementalCommands(p *facts.Pass) analysis.Recommendation {
	return v.inTime(p, analysis.Recommendation{
		Verb:   analysis.MakeAsync,
		Action: fmt.Sprintf("Replace slow commands on %s with incremental ones (SCAN for KEYS, UNLINK for DEL): SLOWLOG GET lists them", p.Name(v.ID)),
		Risk:   "SCAN can return a key twice",
		NotIf:  "SLOWLOG GET lists no command as long as these ticks: then the process forks to save, or swaps",
	}, v.p99(v.lags.Replace(facts.LongTick, handOff)))
}

// spreadWork returns the recommendation to move computing off the loop, as the runtime
// allows.
func (v view) spreadWork(p *facts.Pass) analysis.Recommendation {
	name := p.Name(v.ID)
	switch v.Runtime {
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
			NotIf:  "a single request takes that long: then lower gzip_comp_level, or move the script to another process",
		}
	}
	n := v.workers(p, "threads")
	r := analysis.Recommendation{
		Verb: analysis.MoveToWorkerThreads, Quantity: n,
		Action: fmt.Sprintf("Shorten the CPU-bound work of %s in one tick (%s shows it), or move it to %s", name, v.profiler(p), analysis.Number(n.Value, "worker thread", "worker threads")),
		Risk:   "data passed to a worker thread is copied, unless it is in shared memory",
		NotIf:  "each long tick serves many short requests (then add processes)",
	}
	if function := v.function(p); function != "" {
		r.Action = fmt.Sprintf("Shorten %s, or move it to %s", function, analysis.Number(n.Value, "worker thread", "worker threads"))
	}
	if v.collectorUnknown(p) {
		r.NotIf = "it is garbage collection (GC), which cannot move to a thread; or each long tick serves many short requests (then add processes)"
	}
	return r
}
