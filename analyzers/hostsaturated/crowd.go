// SPDX-License-Identifier: Apache-2.0

package hostsaturated

import (
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// workerCount is the analyzer that explains a host on which the workers of one pool
// wait for one another: it recommends fewer workers, so more nodes would contradict
// it.
const workerCount = "worker-count-mismatch"

// A crowd holds the time that tasks waited for a CPU, in seconds: the total, and
// that of pools with more workers than CPUs.
type crowd struct {
	waited, all float64
	// aloneBusy is the CPU usage, in cores, of event loops that serve clients if they
	// never waited for a CPU, as far as they would be full then.
	aloneBusy float64
}

func crowdOf(p *facts.Pass) crowd {
	var c crowd
	for process := range p.Entities(catalog.ProcessRunQueue) {
		c.all += p.IncreaseOr0(catalog.ProcessRunQueue, process)
	}
	type key struct{ owner, program string }
	pools := make(map[key]map[observe.ID]bool)
	for _, l := range p.Loops() {
		if !l.Serves {
			continue
		}
		queued := max(p.IncreaseOr0(catalog.LoopRunQueue, l.ID), l.Long.RunQueue) / l.Seconds
		if l.Busy-queued >= fullLoop {
			c.aloneBusy += l.Long.CPU / l.Seconds
		}
		k := key{p.Owner(l.Process), p.Command(l.Process)}
		if pools[k] == nil {
			pools[k] = make(map[observe.ID]bool)
		}
		pools[k][l.Process] = true
	}
	for _, workers := range pools {
		for process := range workers {
			if float64(len(workers)) > p.EffectiveCPUs(process) {
				c.waited += p.IncreaseOr0(catalog.ProcessRunQueue, process)
			}
		}
	}
	return c
}

// nPlusOne is the analyzer that explains a host that is full of calls which one query
// would replace.
const nPlusOne = "n-plus-one"

// explain sets the time that tasks waited for a CPU by what explains it.
func (s state) explain(p *facts.Pass, f *analysis.Finding) {
	if s.crowd.waited == 0 && s.repeats == 0 {
		return
	}
	f.Filled = true
	f.Lost, f.LostTotal = map[string]float64{workerCount: s.crowd.waited, nPlusOne: 0}, s.crowd.all
	if excess := (s.busy - p.Param(fullHost)) * s.cpus; s.repeats > excess {
		f.Lost[nPlusOne] = s.crowd.all
	}
	f.Without = func(causes []string) bool { return s.without(causes).severity(p) > analysis.Healthy }
}

func (s state) without(causes []string) state {
	if slices.Contains(causes, workerCount) {
		s = s.withoutCrowd()
	}
	if slices.Contains(causes, nPlusOne) {
		s.busy -= s.repeats / s.cpus
	}
	return s
}

// withoutCrowd returns the state with as many workers as CPUs: they do the same
// work, and do not wait for one another.
func (s state) withoutCrowd() state {
	left := 1 - s.crowd.waited/max(s.crowd.waited, s.crowd.all)
	s.pressure *= left
	s.delay *= left
	s.fullBusy = s.crowd.aloneBusy
	return s
}
