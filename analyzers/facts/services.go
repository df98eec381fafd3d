// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/analyzers/capacity"
)

// A LoopService is the event loops of one owner and runtime, the fullest first.
type LoopService struct {
	Loops []*LoopView
	// Busy is the mean share of time in ticks.
	Busy float64
}

// LoopServices returns the services of the host that have event loops.
func (p *Pass) LoopServices() []*LoopService {
	type key struct{ owner, runtime string }
	keyOf := func(l *LoopView) key { return key{p.Owner(l.Process), l.Runtime} }
	var all []*LoopService
	for _, loops := range GroupBy(slices.Values(p.Loops()), keyOf) {
		s := &LoopService{Loops: loops}
		for i, l := range loops {
			if l.Busy > loops[0].Busy {
				loops[0], loops[i] = l, loops[0]
			}
		}
		s.dropAcceptor(p)
		for _, l := range s.Loops {
			s.Busy += l.Busy / float64(len(s.Loops))
		}
		all = append(all, s)
	}
	return all
}

// acceptorShare is the share of the others' mean utilisation below which a process
// can be one that only accepts for them.
const acceptorShare = 0.5

// dropAcceptor leaves out the process that accepts connections for others with the
// same command and does none of their work, as the primary of node's cluster.
func (s *LoopService) dropAcceptor(p *Pass) {
	at, others := -1, 0.0
	for i, l := range s.Loops {
		switch n, _ := p.Last(catalog.ProcessListens, l.Process); {
		case p.Command(l.Process) != p.Command(s.Loops[0].Process), n > 0 && at >= 0:
			return
		case n > 0:
			at = i
		default:
			others += l.Busy
		}
	}
	if n := len(s.Loops); at >= 0 && n > 1 && s.Loops[at].Busy < acceptorShare*others/float64(n-1) {
		s.Loops = slices.Delete(s.Loops, at, at+1)
	}
}

// saturatedLoop is the share of the window in ticks from which short pieces of work queue
// up to long ticks (docs/science.md, Event loops).
const saturatedLoop = 0.7

// Queued reports whether the long ticks of a nearly full loop are many short pieces of
// work that waited for each other, and not single long ones: an event loop runs all that
// is ready in one tick.
func (l *LoopView) Queued() bool {
	const most = 0.5
	lags := capacity.LagsOf(l.Lag.Count, l.Lag.Sum).With(l.Current)
	return l.Busy >= saturatedLoop && l.Long.CPU >= most*l.Long.Total() && lags.Graded(LongTick)
}
