// SPDX-License-Identifier: Apache-2.0

package runqueuelatency

import (
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// poolSettings holds the setting for programs with an unknown runtime, by the name of
// their threads.
var poolSettings = []struct{ thread, setting string }{
	{"tokio-", "set TOKIO_WORKER_THREADS=%[1]d"},
	{"rayon", "set RAYON_NUM_THREADS=%[1]d"},
}

// threads returns the observed threads of the group, each with its process.
func (g *group) threads(p *facts.Pass) iter.Seq2[observe.ID, observe.ID] {
	return func(yield func(process, thread observe.ID) bool) {
		for thread := range p.Entities(catalog.ThreadCPU) {
			process, ok := p.Index.Ancestor(thread, observe.Process)
			if ok && slices.Contains(g.processes, process) && !yield(process, thread) {
				return
			}
		}
	}
}

// threadSetting returns how to limit the threads of the group; ok is false if that is not
// known, so that there is no advice.
func (g *group) threadSetting(p *facts.Pass) (setting string, ok bool) {
	n := g.usefulThreads(p)
	if setting, known := facts.ThreadSetting(p.Attr(g.processes[0], catalog.AttrRuntime), n); known {
		return setting, true
	}
	for process, thread := range g.threads(p) {
		if process != g.processes[0] {
			continue
		}
		for _, pool := range poolSettings {
			if strings.HasPrefix(p.Attr(thread, catalog.AttrThreadName), pool.thread) {
				return fmt.Sprintf(pool.setting, n), true
			}
		}
	}
	return "", false
}

// severalThreads is the share of the demand of a group's threads that must come from
// others than the busiest of each process, so that fewer threads are an answer.
const severalThreads = 0.3

// perCPU is the number of workers per CPU that counts as a choice, as in
// worker-count-mismatch.
const perCPU = 2

// threaded reports whether processes of the group run several threads at a time. Workers
// with one busy thread each, such as those of node's cluster, only delay one another: a
// limit of threads changes nothing for them. It returns true if threads were not observed,
// and for more workers than worker-count-mismatch accepts, whose symptom the wait is.
func (g *group) threaded(p *facts.Pass) bool {
	if float64(len(g.processes)) > perCPU*math.Ceil(p.EffectiveCPUs(g.processes[0]))+1 {
		return true
	}
	busiest := make(map[observe.ID]float64)
	all := 0.0
	for process, thread := range g.threads(p) {
		demand := p.ThreadDemand(thread)
		busiest[process] = max(busiest[process], demand)
		all += demand
	}
	others := all
	for _, demand := range busiest {
		others -= demand
	}
	return others >= severalThreads*all
}

// usefulThreads returns the number of threads of each process that can run at the same
// time.
func (g *group) usefulThreads(p *facts.Pass) int {
	cpus := p.EffectiveCPUs(g.processes[0])
	return int(max(1, math.Floor(cpus/float64(len(g.processes)))))
}

func (g *group) reduceThreads(p *facts.Pass) analysis.Recommendation {
	n := float64(g.usefulThreads(p))
	setting, _ := g.threadSetting(p)
	each := ""
	if len(g.processes) > 1 {
		each = " in each process"
	}
	return analysis.Recommendation{
		Verb:     analysis.ReduceThreads,
		Quantity: &analysis.Estimate{Value: n, Low: analysis.Bound(n), High: analysis.Bound(n + 1), Unit: "threads"},
		Action: fmt.Sprintf("Limit %s to %s that run at once%s, because it can use %s: %s", g.name(p), analysis.Number(n, "thread", "threads"), each,
			analysis.Cores(p.EffectiveCPUs(g.processes[0])), setting),
		Risk:  "a single burst of work takes longer",
		NotIf: "it is pinned to fewer CPUs than the host has: then widen its affinity or cpuset",
	}
}
