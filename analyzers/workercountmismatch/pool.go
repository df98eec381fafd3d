// SPDX-License-Identifier: Apache-2.0

package workercountmismatch

import (
	"math"
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/capacity"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// A pool is a set of worker processes that run the same program for one owner.
type pool struct {
	workers []*facts.LoopView
}

// pools returns the pools with at least two workers.
func pools(p *facts.Pass) []*pool {
	type key struct{ owner, runtime, command string }
	keyOf := func(l *facts.LoopView) key { return key{p.Owner(l.Process), l.Runtime, p.Command(l.Process)} }
	var all []*pool
	for _, loops := range facts.GroupBy(slices.Values(p.Loops()), keyOf) {
		w := &pool{}
		for _, l := range loops {
			w.add(l)
		}
		w.dropPrimary(p)
		if len(w.workers) > 1 {
			all = append(all, w)
		}
	}
	return all
}

// add adds a loop; each process counts once.
func (w *pool) add(l *facts.LoopView) {
	if !slices.ContainsFunc(w.workers, func(o *facts.LoopView) bool { return o.Process == l.Process }) {
		w.workers = append(w.workers, l)
	}
}

// dropPrimary leaves out the process that accepts connections for the others, as in
// node's cluster: it does none of the work.
func (w *pool) dropPrimary(p *facts.Pass) {
	listens := func(l *facts.LoopView) bool {
		n, _ := p.Last(catalog.ProcessListens, l.Process)
		return n > 0
	}
	first := slices.IndexFunc(w.workers, listens)
	if first < 0 || slices.ContainsFunc(w.workers[first+1:], listens) || len(w.workers) < 3 {
		return
	}
	w.workers = slices.Delete(w.workers, first, first+1)
}

func (w *pool) processes() []observe.ID {
	var ids []observe.ID
	for _, l := range w.workers {
		ids = append(ids, l.Process)
	}
	return ids
}

func (w *pool) subject(p *facts.Pass) observe.ID {
	return p.Group(w.processes())
}

func (w *pool) name(p *facts.Pass) string {
	command := p.Command(w.workers[0].Process)
	if subject := w.subject(p); p.Managed(subject) {
		return command + " in " + p.Name(subject)
	}
	return command
}

// use is the cores that the pool used.
func (w *pool) use(p *facts.Pass) float64 {
	use := 0.0
	for _, process := range w.processes() {
		rate, _ := p.Rate(catalog.ProcessCPU, process)
		use += rate
	}
	return use
}

// waiting returns the share of their waiting and running time in which the workers
// were runnable without a CPU, because none was free or their quota was used up.
func (w *pool) waiting(p *facts.Pass) float64 {
	wait, run := 0.0, w.use(p)
	for _, process := range w.processes() {
		rate, _ := p.Rate(catalog.ProcessRunQueue, process)
		wait += rate
	}
	if wait+run <= 0 {
		return 0
	}
	return wait / (wait + run)
}

// busy is the mean share of time in ticks, leastBusy that of the least busy worker.
func (w *pool) busy() float64 {
	sum := 0.0
	for _, l := range w.workers {
		sum += l.Busy
	}
	return sum / float64(len(w.workers))
}

func (w *pool) leastBusy() float64 {
	least := 1.0
	for _, l := range w.workers {
		least = min(least, l.Busy)
	}
	return least
}

// room returns how many more workers, each with the planned utilisation, fit into
// the CPUs and the quota.
func (w *pool) room(p *facts.Pass) float64 {
	idle, ok := p.UsableIdle(w.workers[0].Process)
	if !ok {
		return 0
	}
	return math.Floor(idle / p.Param(planned))
}

// late reports whether requests wait at the worst worker.
func (w *pool) late(p *facts.Pass) bool {
	for _, l := range w.workers {
		lags := capacity.LagsOf(l.Lag.Count, l.Lag.Sum).With(l.Current)
		if lags.Mean(l.Seconds) > p.Param(lateMean) || lags.Quantile(l.Seconds, 0.99) > p.Param(lateP99) {
			return true
		}
	}
	return false
}

// impact is the capacity that is missing for the planned share; a tenth of it if no
// request is late, so that it ranks below findings that delay requests.
func (w *pool) impact(p *facts.Pass, severity analysis.Severity) float64 {
	missing := max(0, 1-p.Param(planned)/max(w.busy(), p.Param(planned)))
	if severity < analysis.Warning {
		return missing / 10
	}
	return missing
}
