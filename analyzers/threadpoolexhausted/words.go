// SPDX-License-Identifier: Apache-2.0

package threadpoolexhausted

import (
	"fmt"
	"math"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

func threads(n float64) string { return analysis.Number(n, "thread", "threads") }

func (v *view) summary(p *facts.Pass) string {
	return fmt.Sprintf("Requests to %s wait %s for a thread of libuv's pool, where %s at a time: %s",
		p.Name(v.Process), analysis.Seconds(v.Wait()), v.queue(), v.meanwhile(p))
}

// queue returns "1 piece of work waits", "7 pieces of work wait (2 of them calls of fs)".
func (v *view) queue() string {
	n, files := max(1, math.Round(v.Waiting)), math.Round(v.WaitingFiles)
	switch {
	case n == 1:
		return "1 piece of work waits"
	case files > 0 && files < n:
		return fmt.Sprintf("%.0f pieces of work wait (%.0f of them calls of fs)", n, files)
	}
	return fmt.Sprintf("%.0f pieces of work wait", n)
}

// meanwhile returns what the threads of the pool do.
func (v *view) meanwhile(p *facts.Pass) string {
	switch v.fill {
	case resolves:
		text := fmt.Sprintf("%.0f of its %s resolve names, which is as many as libuv uses for these", max(1, math.Round(v.Lookups)), threads(v.Threads))
		if v.on.Syscall != "" {
			text += fmt.Sprintf(", and are blocked in %s (the DNS server %s)", v.on.Syscall, p.Attr(v.on.On, catalog.AttrDestination))
		}
		return text
	case reads:
		return fmt.Sprintf("its %s are blocked in %s (%s)", threads(v.Threads), v.on.Syscall, v.file(p))
	case computes:
		return fmt.Sprintf("crypto, zlib or an addon keeps its %s busy, with %s of CPU time", threads(v.Threads), analysis.Cores(v.computing))
	}
	return fmt.Sprintf("%.1f of its %s work at a time", v.Active, threads(v.Threads))
}

// file describes the file that the threads wait for.
func (v *view) file(p *facts.Pass) string {
	if name := p.FileName(v.on); name != "" {
		return name
	}
	return "files"
}

func (v *view) evidence(p *facts.Pass) []analysis.Evidence {
	e := []analysis.Evidence{
		{Metric: catalog.PoolThreads, Label: "of the pool", Value: v.Threads, Unit: observe.Count},
		{Metric: catalog.PoolActive, Label: "mean", Value: v.Active, Unit: observe.Count},
		{Metric: catalog.PoolWaiting, Label: "mean", Value: v.Waiting, Unit: observe.Count, Bound: analysis.Bound(0)},
		{Metric: catalog.PoolWaiting, Label: "share of the readings above 0", Value: v.Share, Unit: observe.Ratio},
		{Metric: catalog.PoolWaiting, Label: "time that a request waits", Value: v.Wait(), Unit: observe.Seconds, Bound: analysis.Bound(p.Param(leastWait))},
		{Metric: catalog.RequestActive, Label: "mean", Value: v.Requests, Unit: "{request}"},
		{Metric: catalog.ThreadCPU, Label: "of threads beside the event loop, with the wait for a CPU", Value: v.computing, Unit: observe.Cores},
	}
	if v.fill == resolves {
		e = append(e, analysis.Evidence{Metric: catalog.PoolLookups, Label: "mean", Value: v.Lookups, Unit: observe.Count},
			analysis.Evidence{Metric: catalog.PoolWaitingLookups, Label: "mean", Value: v.WaitingLookups, Unit: observe.Count})
	}
	if v.on.Syscall != "" {
		e = append(e, analysis.Evidence{Metric: catalog.PoolThreadsIn, Label: "threads in " + v.on.Syscall + ", mean", Value: v.on.Seconds, Unit: observe.Count})
	}
	if v.idleKnown {
		e = append(e, analysis.Evidence{Metric: catalog.CPUIdle, Label: "usable", Value: v.idle, Unit: observe.Cores})
	}
	return e
}

func (v *view) advice(p *facts.Pass) []analysis.Recommendation {
	switch {
	case v.fill == resolves && v.Lookups+v.WaitingLookups > mostNames:
		return []analysis.Recommendation{v.resolve(p)}
	case v.fill == resolves:
		return []analysis.Recommendation{v.resolve(p), v.enlarge(p)}
	case v.fill == reads:
		return []analysis.Recommendation{v.enlarge(p), v.cache(p)}
	case v.cause() == outOfCPU:
		return []analysis.Recommendation{v.relieve(p)}
	}
	return []analysis.Recommendation{v.enlarge(p)}
}

// mostNames is the number of names at a time up to which a larger pool is advised. With
// more, they come faster than the DNS server answers, and fill a pool of any size.
const mostNames = 64

// resolve is the advice to resolve names without the pool.
func (v *view) resolve(p *facts.Pass) analysis.Recommendation {
	r := analysis.Recommendation{
		Verb: analysis.MakeAsync,
		Action: fmt.Sprintf("Let %s resolve names without its pool of threads: use dns.resolve instead of dns.lookup (the option lookup of http.request), and a cache of names",
			p.Name(v.Process)),
		Verify: v.verify(p),
		NotIf:  "the names are in /etc/hosts, which dns.resolve does not read",
		Expect: []analysis.Expectation{v.expect()},
	}
	if v.on.Syscall != "" {
		r.Action = fmt.Sprintf("Make the DNS server %s answer. ", p.Attr(v.on.On, catalog.AttrDestination)) + r.Action
	}
	return r
}

// enlarge is the advice to set another size of the pool.
func (v *view) enlarge(p *facts.Pass) analysis.Recommendation {
	n := v.size()
	r := analysis.Recommendation{
		Verb: analysis.SetPoolSize, Quantity: n,
		Action: fmt.Sprintf("Start %s with UV_THREADPOOL_SIZE=%.0f in its environment, instead of %.0f", p.Name(v.Process), n.Value, v.Threads),
		Verify: v.verify(p),
		NotIf:  "the variable is set in the program after its first use of the pool: libuv reads it once; or the requests wait by design, such as long polls, while other work fills the pool",
		Expect: []analysis.Expectation{v.expect()},
	}
	switch v.fill {
	case resolves:
		r.Action += fmt.Sprintf(": %.0f names at a time need a thread, and libuv uses half of its pool for them", math.Ceil(v.Lookups+v.WaitingLookups))
		r.NotIf = "more names than that are asked for until the DNS server answers. Also, " + r.NotIf
	case reads:
		r.Risk = "a disk that is at its limit serves more calls at a time no faster, but other work does not wait behind them"
	case computes:
		r.Action += fmt.Sprintf(": each thread that computes needs a core, and %s are idle", analysis.Cores(v.idle))
		if n.Value < v.Active+v.Waiting {
			r.Risk = "CPU time becomes the limit with this size, and the rest of the work still waits"
			r.Expect = nil
		}
	}
	return r
}

// cache is the advice to make fewer calls on files.
func (v *view) cache(p *facts.Pass) analysis.Recommendation {
	return analysis.Recommendation{
		Verb:   analysis.AddCache,
		Action: fmt.Sprintf("Keep what %s reads often from %s in memory, or put it on a faster disk", p.Name(v.Process), v.file(p)),
		Verify: v.verify(p),
		NotIf:  "each file is read once",
	}
}

// relieve is the advice for threads that have no CPU time left.
func (v *view) relieve(p *facts.Pass) analysis.Recommendation {
	return analysis.Recommendation{
		Verb: analysis.ReduceWork,
		Action: fmt.Sprintf("Reduce what the pool of %s computes (rounds of password hashes, levels of compression), cache the results, or run it on more hosts: more threads would share the same CPU time, of which %s are idle",
			p.Name(v.Process), analysis.Cores(v.idle)),
		Verify: v.verify(p),
		NotIf:  "other programs use the CPU of this host",
	}
}

func (v *view) verify(p *facts.Pass) string {
	return fmt.Sprintf("headroom.process.thread_pool.waiting of %s stays at 0", p.Name(v.Process))
}

func (v *view) expect() analysis.Expectation {
	return analysis.Expectation{Metric: catalog.PoolWaiting, Label: "mean", From: v.Waiting, To: 0, Unit: observe.Count}
}
