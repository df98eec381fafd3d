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

// A user is a container, a service, or the processes of one program outside of them.
type user struct {
	processes []observe.ID
	has       float64 // of the resource, in its unit
}

// users returns the users of a resource, the largest first. Processes that lived for less
// than a reading are missing, and so is headroom: what it uses is a line of evidence.
func users(p *facts.Pass, of *observe.Metric, amount func(*observe.Metric, observe.ID) (float64, bool)) []user {
	var all []user
	for _, processes := range facts.GroupBy(p.Entities(of), p.Owner) {
		var u user
		for _, process := range processes {
			if has, ok := amount(of, process); ok && has > 0 && !p.IsObserver(process) {
				u.processes = append(u.processes, process)
				u.has += has
			}
		}
		all = append(all, u)
	}
	slices.SortStableFunc(all, func(a, b user) int { return cmp.Compare(b.has, a.has) })
	return all
}

// blame names the largest users, with their shares of the whole host.
func blame(p *facts.Pass, all []user, whole float64) []analysis.Blame {
	if whole <= 0 {
		return nil
	}
	var named []analysis.Blame
	for _, u := range all[:min(maxUsers, len(all))] {
		if share := u.has / whole; share >= leastShare {
			named = append(named, analysis.Blame{Subject: p.Group(u.processes), Share: min(1, share)})
		}
	}
	return named
}

// cpuUsers returns users with their cores, memoryUsers with their bytes.
func cpuUsers(p *facts.Pass) []user { return users(p, catalog.ProcessCPU, p.Rate) }

func memoryUsers(p *facts.Pass) []user { return users(p, catalog.ProcessMemory, p.Last) }
