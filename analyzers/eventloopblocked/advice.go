// SPDX-License-Identifier: Apache-2.0

package eventloopblocked

import (
	"fmt"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// advise adds recommendations for the cause, or for the top two if it is mixed.
func (v view) advise(p *facts.Pass, c cause, f *analysis.Finding) {
	if c.cause != mixed {
		v.adviseOne(p, c, c.cause, f)
		v.adviseRest(p, c, f)
		return
	}
	v.adviseOne(p, c, c.parts[0].cause, f)
	v.adviseOne(p, c, c.parts[1].cause, f)
}

// adviseRest adds recommendations for a second cause that would make the loop late
// by itself: a higher limit reveals the work that it slowed down.
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
	switch name {
	case onCPU:
		f.Recommendations = append(f.Recommendations, v.lessComputing(p)...)
		return
	case gc:
		f.Recommendations = append(f.Recommendations, v.lessGarbage(p))
		if !v.mostlySystemCalls(p) { // of which those that get memory for the heap are some
			f.Recommendations = append(f.Recommendations, v.lessComputing(p)...)
		}
		return
	case blockingCall:
		r = v.makeAsync(p, c)
	case cpuThrottled:
		r = v.raiseLimit(p)
	case runQueue:
		culprits := p.Culprits(v.Process)
		f.Blame = p.BlameOf(culprits)
		r = v.freeCPU(p, culprits)
	case pageFault:
		r = v.pagesInTime(p, c)
	}
	f.Recommendations = append(f.Recommendations, v.inTime(p, r, v.p99(v.without(c.of(name).seconds))))
}

// inTime adds to a recommendation that shortens the lag how to verify that.
func (v view) inTime(p *facts.Pass, r analysis.Recommendation, p99 float64) analysis.Recommendation {
	now := v.p99(v.lags)
	r.Verify = fmt.Sprintf("headroom.loop.lag p99 of %s falls below %s", p.Command(v.Process), analysis.Seconds(p.Param(warnLag)))
	r.Expect = []analysis.Expectation{{Metric: catalog.LoopLag, Label: "p99", From: now, To: facts.LagAfter(now, p99), Unit: observe.Seconds}}
	return r
}

func (v view) makeAsync(p *facts.Pass, c cause) analysis.Recommendation {
	name := p.Name(v.ID)
	r := analysis.Recommendation{
		Verb:   analysis.MakeAsync,
		Action: fmt.Sprintf("Make the blocking calls of %s asynchronous: use %s", name, p.Blocker(facts.BlockedBy{}, v.Runtime).Instead),
		Risk:   "calls that ran one after the other now run at the same time: bound how many",
		NotIf:  "it happens only at start-up",
	}
	if len(c.calls) == 0 {
		return r
	}
	b := p.Blocker(c.calls[0], v.Runtime)
	r.Action = fmt.Sprintf("Make the %s calls (%s) of %s asynchronous: use %s", c.calls[0].Syscall, b.Means, name, b.Instead)
	if function := v.function(p); function != "" {
		r.Action += " in " + function
	}
	if b.Other != "" {
		r.Action += "; or " + b.Other
		r.Risk = "what is written must be dropped or bounded while the reader is slower than the writer"
	}
	return r
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
		to := p.RaisedLimit(whose, q)
		r.Quantity = &analysis.Estimate{Value: to.Value, Low: &to.Low, High: &to.High, Unit: "cores"}
		r.Action = p.RaiseCPULimit(whose, limit, to.Value)
	}
	return r
}

// freeCPU recommends more CPU for a loop that waits for one; it is a symptom of
// run-queue-latency, which has the numbers.
func (v view) freeCPU(p *facts.Pass, culprits []facts.Culprit) analysis.Recommendation {
	if c, ok := neighbour(p, culprits); ok {
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

// neighbour returns the process of another owner that took most of the wait, if it took
// enough to be worth capping (run-queue-latency's strangers-share) and serves no clients.
func neighbour(p *facts.Pass, culprits []facts.Culprit) (facts.Culprit, bool) {
	const worthCapping = 0.3
	c, ok := facts.Stranger(culprits)
	return c, ok && c.Share >= worthCapping && !p.IsService(c)
}

// pagesInTime returns the recommendation for page faults that waited for a file system,
// a disk, or a limit: above memory.high the kernel puts a task to sleep at the end of
// its fault (mem_cgroup_handle_over_high in mm/memcontrol.c), and reads no page.
func (v view) pagesInTime(p *facts.Pass, c cause) analysis.Recommendation {
	if v.stalledForMemory(p) > most*v.Long.PageFault {
		return analysis.Recommendation{
			Verb:   analysis.AddMemory,
			Action: fmt.Sprintf("Give the cgroup of %s more memory: its tasks waited for memory", p.Name(v.ID)),
			Risk:   "other processes on the host get less memory",
			NotIf:  "memory.high was set on purpose, to slow it down instead of killing it",
		}
	}
	if file, ok := v.slowFile(p, c); ok {
		return analysis.Recommendation{
			Verb:   analysis.MakeAsync,
			Action: fmt.Sprintf("Read %s before %s needs it (MAP_POPULATE, madvise, vmtouch) or in a separate thread, or move it to a faster file system", file, p.Name(v.ID)),
			Risk:   "the whole file takes up memory",
			NotIf:  "the file is larger than the memory: then its pages are evicted again",
		}
	}
	return analysis.Recommendation{
		Verb:   analysis.AddMemory,
		Action: fmt.Sprintf("Add memory for %s until its pages stay resident", p.Name(v.ID)),
		Risk:   "a larger heap takes longer to collect",
		NotIf:  "it reads the file for the first time (a cold start): then read it ahead",
	}
}

// most is the share from which only one explanation of page faults is given.
const most = 0.5

// slowFile returns the mapped file that most of the page faults waited for. If the
// host was short of memory at that time, the pages had been evicted, and the file
// system is not the cause.
func (v view) slowFile(p *facts.Pass, c cause) (string, bool) {
	if len(c.faults) == 0 || c.faults[0].Seconds < most*v.Long.PageFault {
		return "", false
	}
	if node, ok := p.Node(); ok && p.IncreaseOr0(catalog.HostMemorySome, node) > most*v.Long.PageFault {
		return "", false
	}
	name := p.FileName(c.faults[0])
	return name, name != ""
}
