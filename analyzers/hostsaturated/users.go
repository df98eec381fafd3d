// SPDX-License-Identifier: Apache-2.0

package hostsaturated

import (
	"cmp"
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

const (
	// maxUsers is the maximum number of users named, leastShare their minimum share of
	// the host.
	maxUsers   = 5
	leastShare = 0.05
)

// users returns the largest users of the host: containers, services, and processes
// outside of them, by their share of the total. Processes that lived for less than
// a reading are missing.
func users(p *facts.Pass, of *observe.Metric, amount func(*observe.Metric, observe.ID) (float64, bool), whole float64) []analysis.Blame {
	if whole <= 0 {
		return nil
	}
	type user struct {
		processes []observe.ID
		has       float64
	}
	var all []user
	for _, processes := range facts.GroupBy(p.Entities(of), p.Owner) {
		var u user
		for _, process := range processes {
			// What headroom uses is a line of evidence.
			if has, ok := amount(of, process); ok && has > 0 && !p.IsObserver(process) {
				u.processes = append(u.processes, process)
				u.has += has
			}
		}
		all = append(all, u)
	}
	slices.SortStableFunc(all, func(a, b user) int { return cmp.Compare(b.has, a.has) })
	var named []analysis.Blame
	for _, u := range all[:min(maxUsers, len(all))] {
		if share := u.has / whole; share >= leastShare {
			named = append(named, analysis.Blame{Subject: p.Group(u.processes), Share: min(1, share)})
		}
	}
	return named
}

// cpuUsers returns shares of the CPU time of the host, memoryUsers of its memory.
func cpuUsers(p *facts.Pass, cpus float64) []analysis.Blame {
	return users(p, catalog.ProcessCPU, p.Rate, cpus)
}

func memoryUsers(p *facts.Pass, total float64) []analysis.Blame {
	return users(p, catalog.ProcessMemory, p.Last, total)
}
