// SPDX-License-Identifier: Apache-2.0

package threadpoolexhausted

import (
	"math"
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// A fill is what the threads of a pool do.
type fill int

const (
	unknown  fill = iota
	resolves      // names
	reads         // or writes files
	computes
)

// A view is a pool that is exhausted.
type view struct {
	*facts.ThreadPool
	fill fill
	// on is the call that the threads are blocked in; without a name if it is not known.
	on facts.BlockedBy
	// computing is the CPU time that the threads beside the event loop use or wait for, in
	// cores, and idle are the cores that they could use in addition.
	computing, idle float64
	idleKnown       bool
}

const (
	// mostly is the share of the threads that work from which one kind of work fills the
	// pool.
	mostly = 0.5
	// idleCore is the number of idle cores that one more thread that computes needs.
	idleCore = 0.3
	dns      = "53"
)

func look(p *facts.Pass, t *facts.ThreadPool) *view {
	v := &view{ThreadPool: t}
	v.idle, v.idleKnown = p.UsableIdle(t.Process)
	for thread := range p.Entities(catalog.ThreadCPU) {
		if process, ok := p.Index.Ancestor(thread, observe.Process); ok && process == t.Process && !runsLoop(p, process, thread) {
			v.computing += p.ThreadDemand(thread)
		}
	}
	files := 0.0
	for _, in := range t.Files {
		files += in.Seconds
	}
	switch {
	// libuv resolves names in half of the threads at most, so that these alone can be the
	// cause.
	case t.WaitingLookups >= mostly*t.Waiting || t.Lookups >= mostly*t.Active && t.WaitingLookups > 0:
		v.fill = resolves
		if i := slices.IndexFunc(t.In, func(in facts.BlockedBy) bool { return p.Attr(in.On, catalog.AttrDestPort) == dns }); i >= 0 {
			v.on = t.In[i]
		}
	case files >= mostly*t.Active && files > 0:
		v.fill, v.on = reads, t.Files[0]
	case v.computing >= mostly*t.Active:
		v.fill = computes
	}
	return v
}

// runsLoop reports whether a thread runs an event loop.
func runsLoop(p *facts.Pass, process, thread observe.ID) bool {
	for _, l := range p.Loops() {
		if l.Process == process && p.Attr(l.ID, catalog.AttrTID) == p.Attr(thread, catalog.AttrTID) {
			return true
		}
	}
	return false
}

func (v *view) cause() string {
	switch {
	case v.fill == resolves || v.fill == reads:
		return blocked
	case v.fill == computes && v.idleKnown && v.idle < idleCore:
		return outOfCPU
	}
	return tooSmall
}

// maxThreads is the maximum of UV_THREADPOOL_SIZE.
const maxThreads = 1024

// size returns the number of threads with which no work waits: one for each piece of work.
// Threads that compute need a core each.
func (v *view) size() *analysis.Estimate {
	load := math.Ceil(v.Active + v.Waiting)
	most := math.Max(v.Most, load)
	if v.fill == resolves {
		// Half of the threads, rounded up, resolve names.
		load = max(2*math.Ceil(v.Lookups+v.WaitingLookups)-1, load)
		most = max(2*most-1, load)
	}
	if v.fill == computes && v.idleKnown {
		most = min(most, v.Threads+math.Ceil(v.idle))
		load = min(load, v.Threads+math.Round(v.idle))
	}
	least := v.Threads + 1
	value := min(maxThreads, max(least, load))
	return &analysis.Estimate{Value: value, Low: analysis.Bound(min(least, value)), High: analysis.Bound(min(maxThreads, max(value, most))), Unit: "threads"}
}
