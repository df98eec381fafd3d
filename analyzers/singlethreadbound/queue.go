// SPDX-License-Identifier: Apache-2.0

package singlethreadbound

import (
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// threadsOfLoops holds the threads that run an event loop, by process.
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

// loopRuntimes serve requests from their loop: the work of another thread delays no
// request.
var loopRuntimes = []string{"node", "bun", "deno", "python", "redis", "nginx"}

// excludes reports whether a thread belongs to other analyzers: a loop's own thread
// to event-loop-blocked or event-loop-saturated; a worker thread next to a loop is
// the right place for long work.
func (t threadsOfLoops) excludes(p *facts.Pass, process, thread observe.ID) bool {
	if p.Attr(process, catalog.AttrKernelThread) == "true" {
		return true
	}
	loops, has := t[process]
	return slices.Contains(loops, p.Attr(thread, catalog.AttrTID)) ||
		has && slices.Contains(loopRuntimes, p.Attr(process, catalog.AttrRuntime))
}

// A queue holds what is known about work that waits for a process.
type queue struct {
	severity   analysis.Severity
	confidence float64
	// known is set if waiting connections were counted; waiting is their mean.
	known   bool
	waiting float64
}

const (
	// counted is the confidence if waiting connections were observed, guessed if not.
	counted, guessed = 0.9, 0.5
)

// queueOf returns the work that waits. A busy thread without waiting work is
// healthy; if that cannot be known, the finding is an info, and only about a
// server.
func queueOf(p *facts.Pass, process observe.ID) queue {
	if readings := p.Series(catalog.ProcessBacklog, process); len(readings) > 0 {
		if q := judge(p, readings); q.severity != analysis.Healthy {
			return q
		}
	}
	// Requests that were read and queued in memory within a tick of the kernel's clock
	// (4 ms) look answered from outside: an empty queue proves nothing.
	listens, _ := p.Last(catalog.ProcessListens, process)
	threads, _ := p.Last(catalog.ProcessThreads, process)
	if listens > 0 && threads > 1 {
		return queue{severity: analysis.Info, confidence: guessed}
	}
	return queue{}
}

// beingServed is the connection that the hot thread serves at the moment.
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

// impact is the share of the host's capacity for which work waits although cores
// are idle.
func (q queue) impact(idle, cpus float64) float64 {
	if !q.known || cpus <= 0 {
		return 0
	}
	return idle / cpus
}
