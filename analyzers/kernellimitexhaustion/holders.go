// SPDX-License-Identifier: Apache-2.0

package kernellimitexhaustion

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

// A chosen reports whether a process is one of those that share a limit.
type chosen func(process observe.ID) bool

func within(p *analysis.Pass, cgroup observe.ID) chosen {
	return func(process observe.ID) bool { return p.Index.Within(process, cgroup) }
}

func ofUser(p *analysis.Pass, user float64) chosen {
	return func(process observe.ID) bool {
		u, ok := p.Last(catalog.ProcessUser, process)
		return ok && u == user
	}
}

func only(one observe.ID) chosen { return func(process observe.ID) bool { return process == one } }

// taskHolders returns the programs with most processes and threads, and the parents with
// most zombies.
func taskHolders(p *analysis.Pass, in chosen) []holder {
	hs := programs(p, catalog.ProcessThreads, in, "threads of %s", "in %d processes of %s")
	return ordered(append(hs, zombiesOf(p, in)...))
}

func zombiesOf(p *analysis.Pass, in chosen) []holder {
	hs := programs(p, catalog.ProcessZombies, in, "zombies that %s has not waited for", "zombies of %d processes of %s")
	for i := range hs {
		hs[i].zombies = true
	}
	return hs
}

// programs returns the sums of a level by program. The texts are for one process, and for
// several.
func programs(p *analysis.Pass, m *observe.Metric, in chosen, one, several string) []holder {
	type program struct {
		holder
		top       float64
		processes int
	}
	byName := make(map[string]*program)
	for process := range p.Entities(m) {
		n, ok := p.Last(m, process)
		if !ok || n == 0 || !in(process) {
			continue
		}
		name := p.Command(process)
		g := byName[name]
		if g == nil {
			g = &program{}
			byName[name] = g
		}
		g.n, g.processes = g.n+n, g.processes+1
		if n > g.top || g.processes == 1 {
			g.top, g.id = n, process
		}
	}
	var hs []holder
	for name, g := range byName {
		g.text = fmt.Sprintf(several, g.processes, name)
		if g.processes == 1 {
			g.text = fmt.Sprintf(one, p.Name(g.id))
		}
		hs = append(hs, g.holder)
	}
	return ordered(hs)
}

func ordered(hs []holder) []holder {
	slices.SortFunc(hs, func(a, b holder) int { return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.id, b.id)) })
	return hs
}
