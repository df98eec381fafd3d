// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// A Pool is the worker processes that run one program for one owner, by their event
// loops. It has at least two; each process counts once.
type Pool struct {
	Workers []*LoopView
}

// forEachConnection are the runtimes that run a process for each connection: their
// clients decide how many there are.
var forEachConnection = []string{"postgres"}

// Pools returns the pools of worker processes of the host.
func (p *Pass) Pools() []*Pool {
	type key struct{ owner, runtime, command string }
	keyOf := func(l *LoopView) key { return key{p.Owner(l.Process), l.Runtime, p.Command(l.Process)} }
	var all []*Pool
	for _, loops := range GroupBy(slices.Values(p.Loops()), keyOf) {
		if slices.Contains(forEachConnection, loops[0].Runtime) {
			continue
		}
		w := &Pool{}
		for _, l := range loops {
			if !slices.ContainsFunc(w.Workers, func(o *LoopView) bool { return o.Process == l.Process }) {
				w.Workers = append(w.Workers, l)
			}
		}
		w.dropPrimary(p)
		if len(w.Workers) > 1 {
			all = append(all, w)
		}
	}
	return all
}

// dropPrimary leaves out the process that accepts connections for the others, as in
// node's cluster: it does none of the work. Workers that accept for themselves all hold
// the socket.
func (w *Pool) dropPrimary(p *Pass) {
	listens := func(l *LoopView) bool {
		n, _ := p.Last(catalog.ProcessListens, l.Process)
		return n > 0
	}
	first := slices.IndexFunc(w.Workers, listens)
	if first < 0 || slices.ContainsFunc(w.Workers[first+1:], listens) {
		return
	}
	w.Workers = slices.Delete(w.Workers, first, first+1)
}

// Processes returns the processes of the workers.
func (w *Pool) Processes() []observe.ID {
	var ids []observe.ID
	for _, l := range w.Workers {
		ids = append(ids, l.Process)
	}
	return ids
}

// Busy is the workers' mean share of time in ticks.
func (w *Pool) Busy() float64 {
	sum := 0.0
	for _, l := range w.Workers {
		sum += l.Busy
	}
	return sum / float64(len(w.Workers))
}

// LeastBusy is the share of time in ticks of the least busy worker.
func (w *Pool) LeastBusy() float64 {
	least := 1.0
	for _, l := range w.Workers {
		least = min(least, l.Busy)
	}
	return least
}

// Name is the name of the pool in texts: its command, and the container or service
// that contains all of it.
func (w *Pool) Name(p *Pass) string {
	command := p.Command(w.Workers[0].Process)
	if subject := p.Group(w.Processes()); p.Managed(subject) {
		return command + " in " + p.Name(subject)
	}
	return command
}
