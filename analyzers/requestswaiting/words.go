// SPDX-License-Identifier: Apache-2.0

package requestswaiting

import (
	"fmt"
	"math"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

func number(n float64) string { return analysis.Number(n, "request", "requests") }

// wait returns "1 request waits", "3 requests wait".
func wait(n float64) string {
	if math.Round(n) == 1 {
		return number(n) + " waits"
	}
	return number(n) + " wait"
}

// summary returns one sentence: how many requests wait, for how long, and what the threads
// of the service did meanwhile.
func (v *view) summary(p *facts.Pass, on blocked, busy hot) string {
	name := p.Name(v.process)
	meanwhile := v.meanwhile(p, on, busy)
	switch v.why {
	case unread:
		return fmt.Sprintf("%s for %s, unread for %s: %s", wait(max(1, v.unread)), name, analysis.Seconds(v.unreadFor), meanwhile)
	case queued:
		return fmt.Sprintf("Half of the requests to %s wait %s or longer inside it, %s at a time: %s", name, analysis.Seconds(busy.wait), number(v.active), meanwhile)
	case long:
		return fmt.Sprintf("Half of the requests to %s take %s or longer, %s at a time: %s", name, analysis.Seconds(v.median()), number(v.active), meanwhile)
	}
	return fmt.Sprintf("%s for an answer of %s, the oldest for %s: %s", wait(max(1, v.last)), name, analysis.Seconds(max(v.oldest, slow)), meanwhile)
}

// meanwhile returns what the threads did while requests waited.
func (v *view) meanwhile(p *facts.Pass, on blocked, busy hot) string {
	switch {
	case on.certain:
		return v.inCall(p, on)
	case busy.full && busy.thread == observe.None:
		return fmt.Sprintf("its threads use %s together, because the interpreter runs one at a time", analysis.Cores(busy.cores))
	case busy.full:
		return fmt.Sprintf("its %s fills %s of a core", v.threadName(p, busy.thread), analysis.Percent(min(1, busy.cores)))
	case on.threads > 0:
		return v.inCall(p, on)
	}
	use, _ := p.Rate(catalog.ProcessCPU, v.process)
	text := fmt.Sprintf("the cause is not known; its threads use %s", analysis.Cores(use))
	if out, known := v.outgoing(p); known && out > 0 {
		text += fmt.Sprintf(", and it has %s to others", analysis.Number(out, "connection", "connections"))
	}
	return text
}

func (v *view) inCall(p *facts.Pass, on blocked) string {
	return fmt.Sprintf("%s blocked in %s (%s)", threads(on.threads), on.Syscall, v.target(p, on))
}

func threads(n float64) string {
	if math.Round(n) <= 1 {
		return "a thread of it is"
	}
	return fmt.Sprintf("%.0f threads of it are", n)
}

// target describes what a call waits for.
func (v *view) target(p *facts.Pass, on blocked) string {
	if p.Attr(on.On, catalog.AttrDestPort) == dns {
		return "the DNS server " + p.Attr(on.On, catalog.AttrDestination)
	}
	return p.Blocker(on.BlockedBy, p.Attr(v.process, catalog.AttrRuntime)).Means
}

func (v *view) threadName(p *facts.Pass, thread observe.ID) string {
	text := "thread"
	if name := p.Attr(thread, catalog.AttrThreadName); name != "" {
		text += " " + name
	}
	if tid := p.Attr(thread, catalog.AttrTID); tid != "" {
		text += " (tid " + tid + ")"
	}
	return text
}

func (v *view) evidence(p *facts.Pass, on blocked, busy hot) []analysis.Evidence {
	e := []analysis.Evidence{
		{Metric: catalog.RequestActive, Label: "mean", Value: v.active, Unit: "{request}"},
		{Metric: catalog.RequestOldest, Label: "at the end", Value: v.oldest, Unit: observe.Seconds},
	}
	if v.answered() > 0 {
		e = append(e, analysis.Evidence{Metric: catalog.RequestDuration, Label: "p50", Value: v.median(), Unit: observe.Seconds},
			analysis.Evidence{Metric: catalog.RequestDuration, Label: "p99", Value: v.answers.Quantile(0.99), Unit: observe.Seconds})
	}
	if v.why == unread {
		e = append(e, analysis.Evidence{Metric: catalog.RequestUnreadAge, Label: "highest", Value: v.unreadFor, Unit: observe.Seconds, Bound: analysis.Bound(p.Param(unreadAge))})
	}
	if busy.full && busy.thread != observe.None {
		e = append(e, analysis.Evidence{Metric: catalog.ThreadCPU, Label: "rate", Value: busy.cores, Unit: observe.Cores, Bound: analysis.Bound(fullThread)})
	}
	if on.threads > 0 {
		e = append(e, analysis.Evidence{Metric: catalog.RequestThreads, Label: "threads in " + on.Syscall + ", mean", Value: on.threads, Unit: observe.Count})
	}
	return e
}

// advice returns what to do.
func (v *view) advice(p *facts.Pass, on blocked, busy hot) analysis.Recommendation {
	name := p.Name(v.process)
	r := analysis.Recommendation{Verb: analysis.FindCause, Verify: v.verify(p)}
	switch cause(on, busy) {
	case blockedOnDescriptor:
		r.Verb, r.Action = analysis.MakeAsync, v.unblock(p, on, name)
		r.NotIf = "these threads wait by design, for example for messages of a broker"
	case waitingForThread:
		r = v.share(p, busy, name, r)
	default:
		r.Action = fmt.Sprintf("Trace one slow request to %s, to see whether it waits for a connection of a pool, a lock or another service: it does not wait for a CPU", name)
		r.NotIf = "these requests wait by design: long polls, exports, uploads"
	}
	return r
}

// namesAsync are the ways to resolve a name without a thread of a pool.
var namesAsync = map[string]string{
	"node":   "dns.resolve instead of dns.lookup, and a cache of names",
	"python": "aiodns, and a cache of names",
	"":       "a resolver that does not block, and a cache of names",
}

func (v *view) unblock(p *facts.Pass, on blocked, name string) string {
	runtime := p.Attr(v.process, catalog.AttrRuntime)
	if p.Attr(on.On, catalog.AttrDestPort) == dns {
		use := namesAsync[runtime]
		if use == "" {
			use = namesAsync[""]
		}
		return fmt.Sprintf("Make the DNS server %s answer, and let %s resolve names without its pool of threads: use %s", p.Attr(on.On, catalog.AttrDestination), name, use)
	}
	b := p.Blocker(on.BlockedBy, runtime)
	return fmt.Sprintf("Make the %s calls (%s) of %s asynchronous: use %s", on.Syscall, b.Means, name, b.Instead)
}

// share is the advice to let requests run beside one another.
func (v *view) share(p *facts.Pass, busy hot, name string, r analysis.Recommendation) analysis.Recommendation {
	idle, _ := p.UsableIdle(v.process)
	if busy.thread == observe.None {
		n := max(1, math.Floor(idle+0.5))
		r.Verb, r.Quantity = analysis.AddProcesses, &analysis.Estimate{Value: n, Low: analysis.Bound(1), High: analysis.Bound(n), Unit: "processes"}
		r.Action = fmt.Sprintf("Run %s of %s: %s are idle", analysis.Number(n, "more process", "more processes"), name, analysis.Cores(idle))
		r.NotIf = "its state is in its memory"
		return r
	}
	r.Action = fmt.Sprintf("Find what the %s of %s computes (perf top -t %s), and let several threads do it: %s are idle",
		v.threadName(p, busy.thread), name, p.Attr(busy.thread, catalog.AttrTID), analysis.Cores(idle))
	r.NotIf = "it works for no request"
	return r
}

func (v *view) verify(p *facts.Pass) string {
	if v.why == unread {
		return fmt.Sprintf("headroom.request.oldest.age of %s stays below %s", p.Name(v.process), analysis.Seconds(p.Param(unreadAge)))
	}
	return fmt.Sprintf("the p50 of headroom.request.duration of %s falls", p.Name(v.process))
}
