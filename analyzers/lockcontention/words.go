// SPDX-License-Identifier: Apache-2.0

package lockcontention

import (
	"fmt"
	"math"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// waiting returns "1 thread waits", "7 threads wait".
func waiting(n float64) string {
	if n = max(1, math.Round(n)); n == 1 {
		return "1 thread waits"
	}
	return fmt.Sprintf("%.0f threads wait", n)
}

func (v *view) summary(p *facts.Pass) string {
	name := p.Name(v.Process)
	if v.Kind == catalog.LockInterpreter {
		return fmt.Sprintf("Requests to %s wait %s for the lock of the Python interpreter: it lets one thread run at a time, %s for it, and the process uses %s while %s are idle",
			name, analysis.Seconds(v.wait), waiting(v.Waiters), analysis.Cores(v.used), analysis.Cores(v.idle))
	}
	return fmt.Sprintf("Requests to %s wait %s for one mutex, held %s of the time: %s for it, and %s", name, analysis.Seconds(v.wait),
		analysis.Percent(v.Share), waiting(v.Waiters), v.holder(p))
}

// holder returns which thread holds the mutex, and what that thread does.
func (v *view) holder(p *facts.Pass) string {
	does := v.does(p)
	if v.Holder == observe.None || v.HolderShare < mostly {
		return "the threads that hold it in turn " + does.several
	}
	return fmt.Sprintf("%s, which holds it %s of that time, %s", threadName(p, v.Holder), analysis.Percent(min(1, v.HolderShare)), does.one)
}

// mostly is the share of the time from which one thread, or one call, is named.
const mostly = 0.5

func threadName(p *facts.Pass, in observe.ID) string {
	text := "its thread"
	if name := p.Attr(in, catalog.AttrThreadName); name != "" {
		text += " " + name
	}
	return text + " (tid " + p.Attr(in, catalog.AttrTID) + ")"
}

// A deed is what a holder does, for one and for several threads.
type deed struct{ one, several string }

func (v *view) does(p *facts.Pass) deed {
	if len(v.Held) == 0 || v.Held[0].Seconds < mostly || v.Held[0].Syscall == "" {
		return deed{"is on the CPU or waits for one", "are on the CPU or wait for one"}
	}
	call := fmt.Sprintf("in %s (%s)", v.Held[0].Syscall, v.means(p))
	return deed{"is " + call, "are " + call}
}

func (v *view) means(p *facts.Pass) string {
	return p.Blocker(v.Held[0], p.Attr(v.Process, catalog.AttrRuntime)).Means
}

// blockedIn reports whether the holder is in one system call most of the time.
func (v *view) blockedIn() bool {
	return len(v.Held) > 0 && v.Held[0].Seconds >= mostly && v.Held[0].Syscall != ""
}

func (v *view) evidence(p *facts.Pass) []analysis.Evidence {
	e := []analysis.Evidence{
		{Metric: catalog.LockWaiters, Label: "mean while requests wait", Value: v.Waiters, Unit: observe.Count},
		{Metric: catalog.LockWaited, Label: "share of the readings with a waiting thread", Value: v.Share, Unit: observe.Ratio},
		{Metric: catalog.LockWaiters, Label: "time that a request waits", Value: v.wait, Unit: observe.Seconds, Bound: analysis.Bound(p.Param(leastWait))},
		{Metric: catalog.RequestActive, Label: "mean", Value: v.Requests, Unit: "{request}"},
		{Metric: catalog.ProcessCPU, Label: "rate", Value: v.used, Unit: observe.Cores},
		{Metric: catalog.CPUIdle, Label: "usable", Value: v.idle, Unit: observe.Cores, Bound: analysis.Bound(idleCore)},
	}
	if v.blockedIn() {
		e = append(e, analysis.Evidence{Metric: catalog.LockHeldIn, Label: "share with its holder in " + v.Held[0].Syscall, Value: v.Held[0].Seconds, Unit: observe.Ratio})
	}
	return e
}

func (v *view) advice(p *facts.Pass) analysis.Recommendation {
	name := p.Name(v.Process)
	r := analysis.Recommendation{Verify: fmt.Sprintf("the p50 of headroom.request.duration of %s falls by about %s", name, analysis.Seconds(v.wait))}
	if v.Kind == catalog.LockInterpreter {
		n := max(1, math.Round(min(v.idle, v.Waiters)))
		r.Verb, r.Quantity = analysis.AddProcesses, &analysis.Estimate{Value: n, Low: analysis.Bound(1), High: analysis.Bound(max(n, math.Ceil(v.idle))), Unit: "processes"}
		r.Action = fmt.Sprintf("Run %s of %s beside it, for example with the option workers of its server: threads of one process share one core, and %s are idle",
			analysis.Number(n, "more process", "more processes"), name, analysis.Cores(v.idle))
		r.Risk = "each process has its own memory: caches and connections exist once for each"
		r.NotIf = "its state is in its memory, or it runs on a build of Python without this lock"
		r.Verify = fmt.Sprintf("the p50 of headroom.request.duration of %s falls, and the CPU time of all its processes rises above one core", name)
		return r
	}
	r.Verb = analysis.ReduceContention
	if v.blockedIn() {
		r.Action = fmt.Sprintf("Let %s call %s (%s) without holding the mutex, for example in one thread with a queue", name, v.Held[0].Syscall, v.means(p))
	} else {
		r.Action = fmt.Sprintf("Find the code of %s that runs under the mutex (perf record -g -p %s), and move work out of it or use one mutex for each part of the data",
			name, p.Attr(v.Process, catalog.AttrPID))
	}
	r.NotIf = "the threads wait by design, for work that one of them hands out"
	return r
}
