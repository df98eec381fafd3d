// SPDX-License-Identifier: Apache-2.0

package singlethreadbound

import (
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// threadsOfLoops says which threads run an event loop, by process.
type threadsOfLoops map[observe.ID][]string

func loopThreads(p *facts.Pass) threadsOfLoops {
	loops := make(threadsOfLoops)
	for loop := range p.Entities(catalog.LoopTicks) {
		if process, ok := p.Index.Ancestor(loop, observe.Process); ok && p.Attr(loop, catalog.AttrLoopShared) != "true" {
			loops[process] = append(loops[process], p.Attr(loop, catalog.AttrTID))
		}
	}
	return loops
}

// loopRuntimes serve from their loop: what another thread of theirs computes
// delays no request.
var loopRuntimes = []string{"node", "bun", "deno", "python", "redis", "nginx"}

// excludes: a loop's own thread is event-loop-blocked's or -saturated's, and a
// worker thread beside a loop is where long work belongs.
func (t threadsOfLoops) excludes(p *facts.Pass, process, thread observe.ID) bool {
	if p.Attr(process, catalog.AttrKernelThread) == "true" {
		return true
	}
	loops, has := t[process]
	return slices.Contains(loops, p.Attr(thread, catalog.AttrTID)) ||
		has && slices.Contains(loopRuntimes, p.Attr(process, catalog.AttrRuntime))
}

// A queue is what is known of work that waits for a process.
type queue struct {
	severity   analysis.Severity
	confidence float64
	// known says that waiting connections were counted; waiting is their mean.
	known   bool
	waiting float64
}

const (
	// counted is the confidence with waiting connections seen, guessed without.
	counted, guessed = 0.9, 0.5
)

// queueOf looks for work that waits. A busy thread for which no work waits is
// healthy; where that cannot be known, it is worth no more than an info, and
// only about a server.
func queueOf(p *facts.Pass, process observe.ID) queue {
	if readings := p.Series(catalog.ProcessBacklog, process); len(readings) > 0 {
		if q := judge(p, readings); q.severity != analysis.Healthy {
			return q
		}
	}
	// What was read and queued in memory within a tick of the kernel's clock
	// (4 ms) looks answered from outside: an empty queue is no proof.
	listens, _ := p.Last(catalog.ProcessListens, process)
	threads, _ := p.Last(catalog.ProcessThreads, process)
	if listens > 0 && threads > 1 {
		return queue{severity: analysis.Info, confidence: guessed}
	}
	return queue{}
}

// beingServed is the connection that the hot thread works for at the moment.
const beingServed = 1

func judge(p *facts.Pass, readings []float64) queue {
	q := queue{known: true, confidence: counted}
	waited := 0.0
	for _, n := range readings {
		q.waiting += n / float64(len(readings))
		if n > beingServed {
			waited++
		}
	}
	if waited >= p.Param(queuedSteps)*float64(len(readings)) {
		q.severity = analysis.Warning
	}
	return q
}

// impact is the share of the host's capacity that waits beside idle cores.
func (q queue) impact(idle, cpus float64) float64 {
	if !q.known || cpus <= 0 {
		return 0
	}
	return idle / cpus
}
