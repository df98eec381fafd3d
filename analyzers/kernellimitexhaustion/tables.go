// SPDX-License-Identifier: Apache-2.0

package kernellimitexhaustion

import (
	"fmt"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

// An inotifyLimit is one of the two limits of inotify, which each user has.
type inotifyLimit struct {
	words
	own, ofUser, limit *observe.Metric
	// leaks is the number from which a process has more than any needs.
	leaks float64
}

var inotifyLimits = []inotifyLimit{
	{
		words: words{
			fails: "watch files with a new inotify instance (inotify_init fails with EMFILE, which programs report as \"too many open files\")",
			one:   "instance", many: "instances", setting: "fs.inotify.max_user_instances",
			cost:  "each instance takes kernel memory, and each watch about a kilobyte",
			notIf: "one process holds many: one instance can have all of its watches",
		},
		own: catalog.ProcessInotify, ofUser: catalog.ProcessUserInotify, limit: catalog.InotifyInstanceLimit, leaks: 32,
	},
	{
		words: words{
			fails: "watch more files (inotify_add_watch fails with ENOSPC, which programs report as \"no space left on device\")",
			one:   "watch", many: "watches", setting: "fs.inotify.max_user_watches",
			cost:  "each watch takes about a kilobyte of kernel memory, which cannot be swapped out",
			notIf: "a program watches directories that it does not need, such as node_modules: then exclude them",
		},
		own: catalog.ProcessWatches, ofUser: catalog.ProcessUserWatches, limit: catalog.InotifyWatchLimit,
	},
}

// inotifyTables returns the limits of inotify of each user that has instances. The subject
// is the process that has most.
func inotifyTables(p *analysis.Pass) []*table {
	node, _ := p.Node()
	var all []*table
	for _, l := range inotifyLimits {
		limit, ok := p.Last(l.limit, node)
		if !ok || limit <= 0 {
			continue
		}
		largest := make(map[float64]*table)
		top := make(map[float64]float64)
		for process := range p.Entities(l.ofUser) {
			user, known := p.Last(catalog.ProcessUser, process)
			n, _ := p.Last(l.own, process)
			if !known || largest[user] != nil && n <= top[user] {
				continue
			}
			largest[user], top[user] = l.table(p, process, user, limit), n
		}
		all = append(all, sorted(largest)...)
	}
	return all
}

func (l inotifyLimit) table(p *analysis.Pass, process observe.ID, user, limit float64) *table {
	t := &table{
		words: l.words, cause: inotify, subject: process, about: process, within: observe.None,
		metric: l.ofUser, limits: l.limit, limit: limit,
		holders: func(p *analysis.Pass) []holder {
			hs := programs(p, l.own, ofUser(p, user), "held by %s", "held by %d processes of %s")
			for i := range hs {
				n, _ := p.Last(l.own, hs[i].id)
				hs[i].leaks = l.leaks > 0 && n >= l.leaks
			}
			return hs
		},
	}
	// Programs of other owners share the limit, so the user is named and not a program.
	t.who = fmt.Sprintf("user %.0f", user)
	t.raise, t.place = l.setting, sysctl
	return t
}

// maps returns the number of memory mappings of processes that have many.
func maps(p *analysis.Pass) []*table {
	node, _ := p.Node()
	limit, ok := p.Last(catalog.MapLimit, node)
	if !ok || limit <= 0 {
		return nil
	}
	var all []*table
	for process := range p.Entities(catalog.ProcessMaps) {
		t := &table{
			words: words{
				who: p.Name(process), fails: "map memory (mmap fails with ENOMEM, and creating a thread with EAGAIN)",
				one: "mapping", many: "memory mappings", setting: "vm.max_map_count",
				raise: "vm.max_map_count", place: sysctl,
				cost:  "each mapping takes about 200 bytes of kernel memory",
				notIf: "the program maps files or starts threads without a bound: then limit them",
			},
			cause: mapCount, subject: process, about: process, within: observe.None,
			metric: catalog.ProcessMaps, limits: catalog.MapLimit, limit: limit,
			holders: func(*analysis.Pass) []holder { return nil },
		}
		all = append(all, t)
	}
	return all
}

// neighbours returns the neighbour tables of the host.
func neighbours(p *analysis.Pass) []*table {
	node, ok := p.Node()
	if !ok {
		return nil
	}
	var all []*table
	for _, n := range []struct {
		entries, limit, exempt, refused *observe.Metric
		setting                         string
	}{
		{catalog.NeighbourEntries4, catalog.NeighbourLimit4, catalog.NeighbourExempt4, catalog.NeighbourRefused4, "net.ipv4.neigh.default.gc_thresh3"},
		{catalog.NeighbourEntries6, catalog.NeighbourLimit6, catalog.NeighbourExempt6, catalog.NeighbourRefused6, "net.ipv6.neigh.default.gc_thresh3"},
	} {
		limit, ok := p.Last(n.limit, node)
		if !ok || limit <= 0 || !p.Has(n.entries) {
			continue
		}
		exempt, _ := p.Last(n.exempt, node)
		all = append(all, &table{
			words: words{
				who: p.Name(node), fails: "reach new addresses of its own networks (packets to them are dropped: neighbour table overflow)",
				one: "neighbour", many: "neighbours", setting: n.setting,
				raise: n.setting, place: sysctl + "; gc_thresh2 and gc_thresh1 to a half and a quarter of it",
				cost:  "each neighbour takes about half a kilobyte of kernel memory",
				notIf: "a scan of the network fills the table: then stop it, or split the network",
			},
			cause: neighbourTable, subject: node, about: node, within: observe.None,
			metric: n.entries, limits: n.limit, limit: limit, exempt: exempt,
			refused: p.IncreaseOr0(n.refused, node), counted: true, refusals: n.refused,
			holders: func(*analysis.Pass) []holder { return nil },
		})
	}
	return all
}
