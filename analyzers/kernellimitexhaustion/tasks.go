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

// tasks are the words about processes and threads.
var tasks = words{
	fails: "create processes or threads", one: "process or thread", many: "processes and threads",
	cost:  "each thread takes a kernel stack of 16 KiB and its own memory, and each may use a CPU",
	notIf: "one program creates them without a bound: then limit its threads or children",
}

// sysctl is where a setting of the kernel is changed.
const sysctl = "sysctl -w, and a file in /etc/sysctl.d"

// cgroups returns the limits of processes of cgroups.
func cgroups(p *analysis.Pass) []*table {
	refused := refusedIn(p)
	var all []*table
	for cgroup := range p.Entities(catalog.CgroupPids) {
		limit, ok := p.Last(catalog.CgroupPidsLimit, cgroup)
		if !ok || limit <= 0 {
			continue
		}
		t := &table{
			words: tasks, cause: pids, subject: cgroup, about: cgroup, within: observe.None,
			metric: catalog.CgroupPids, limits: catalog.CgroupPidsLimit, limit: limit,
			refused: refused[cgroup], counted: p.Has(catalog.CgroupPidsRefused), refusals: catalog.CgroupPidsRefused,
			holders: func(p *analysis.Pass) []holder { return taskHolders(p, within(p, cgroup)) },
		}
		t.who, t.setting = p.Name(cgroup), "pids.max"
		t.raise, t.place = "the limit of processes and threads of "+p.Name(cgroup), pidsPlace(p, cgroup)
		all = append(all, t)
	}
	return all
}

// pidsPlace returns where the limit of a cgroup is set.
func pidsPlace(p *analysis.Pass, cgroup observe.ID) string {
	switch {
	case p.Attr(cgroup, catalog.AttrPodUID) != "" || p.Index.Inherited(cgroup, catalog.AttrPodUID) != "":
		return "podPidsLimit in the configuration of the kubelet"
	case p.Attr(cgroup, catalog.AttrContainerID) != "":
		return "--pids-limit of the container, which sets pids.max of its cgroup"
	case p.Attr(cgroup, catalog.AttrService) != "":
		return "TasksMax= of the unit, which sets pids.max of its cgroup"
	}
	return "pids.max of its cgroup"
}

// refusedIn returns the number of refused processes by the cgroup whose limit was reached.
// The kernel counts them in the cgroup that asked (before Linux 6.11, and on cgroup v1),
// so the limit is the one of it and its ancestors of which most is used.
func refusedIn(p *analysis.Pass) map[observe.ID]float64 {
	refused := make(map[observe.ID]float64)
	for cgroup := range p.Entities(catalog.CgroupPidsRefused) {
		n := p.IncreaseOr0(catalog.CgroupPidsRefused, cgroup)
		if n == 0 {
			continue
		}
		fullest, share := observe.None, -1.0
		for up := range p.Index.Up(cgroup) {
			limit, limited := p.Last(catalog.CgroupPidsLimit, up)
			_, peak, read := p.Range(catalog.CgroupPids, up)
			if limited && read && limit > 0 && peak/limit > share {
				fullest, share = up, peak/limit
			}
		}
		if fullest != observe.None {
			refused[fullest] += n
		}
	}
	return refused
}

// hostTasks returns the limit of all processes and threads of the host.
func hostTasks(p *analysis.Pass) []*table {
	node, ok := p.Node()
	if !ok || !p.Has(catalog.HostTasks) {
		return nil
	}
	t := &table{
		words: tasks, cause: threads, subject: node, about: node, within: observe.None, metric: catalog.HostTasks,
		holders: func(p *analysis.Pass) []holder { return taskHolders(p, func(observe.ID) bool { return true }) },
	}
	_, peak, _ := p.Range(catalog.HostTasks, node)
	for m, setting := range map[*observe.Metric]string{catalog.HostThreadMax: "kernel.threads-max", catalog.HostPIDMax: "kernel.pid_max"} {
		// Since Linux 6.14 a PID namespace has its own pid_max, which can be lower.
		limit, ok := p.Last(m, node)
		if ok && limit >= peak && (t.limit == 0 || limit < t.limit) {
			t.limit, t.limits, t.setting = limit, m, setting
		}
	}
	if t.limit == 0 {
		return nil
	}
	t.who, t.raise, t.place = p.Name(node), t.setting, sysctl
	return []*table{t}
}

// userTasks returns the limits of the processes of each user (RLIMIT_NPROC). A user has a
// limit for each process: the table is about the one of which most is used.
func userTasks(p *analysis.Pass) []*table {
	fullest := make(map[float64]*table)
	for process := range p.Entities(catalog.ProcessUserTasks) {
		limit, ok := p.Last(catalog.ProcessUserTaskLimit, process)
		user, known := p.Last(catalog.ProcessUser, process)
		if !ok || !known || limit <= 0 {
			continue
		}
		if t := fullest[user]; t != nil && t.limit <= limit {
			continue
		}
		t := &table{
			words: tasks, cause: threads, subject: process, about: process, within: observe.None,
			metric: catalog.ProcessUserTasks, limits: catalog.ProcessUserTaskLimit, limit: limit,
			holders: func(p *analysis.Pass) []holder { return taskHolders(p, ofUser(p, user)) },
		}
		t.who, t.setting = fmt.Sprintf("%s, as user %.0f,", p.Name(process), user), "RLIMIT_NPROC"
		t.raise, t.place = fmt.Sprintf("the limit of processes of user %.0f", user), "LimitNPROC=, ulimit -u, nproc in /etc/security/limits.conf"
		fullest[user] = t
	}
	return sorted(fullest)
}

// sorted returns the tables of users in a fixed order.
func sorted(tables map[float64]*table) []*table {
	var all []*table
	for _, t := range tables {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b *table) int { return cmp.Compare(a.about, b.about) })
	return all
}

// unreaped returns the zombies of each parent, against the limit that they use up first.
func unreaped(p *analysis.Pass) []*table {
	var all []*table
	for process := range p.Entities(catalog.ProcessZombies) {
		n, _ := p.Last(catalog.ProcessZombies, process)
		left, at, setting, limits, ok := nearestLimit(p, process)
		if n < p.Param(leastGain) || !ok {
			continue
		}
		t := &table{
			words: tasks, cause: zombies, subject: process, about: process, within: at, bug: true,
			metric: catalog.ProcessZombies, limits: limits, limit: n + left,
			holders: func(p *analysis.Pass) []holder { return zombiesOf(p, only(process)) },
		}
		t.who, t.setting, t.many = p.Name(process), setting, "zombies"
		all = append(all, t)
	}
	return all
}

// nearestLimit returns what is left of the limit of processes of which least is left.
func nearestLimit(p *analysis.Pass, process observe.ID) (left float64, at observe.ID, setting string, limits *observe.Metric, ok bool) {
	try := func(id observe.ID, used, limit *observe.Metric, name string) {
		n, read := p.Last(used, id)
		most, limited := p.Last(limit, id)
		if read && limited && most >= n && (!ok || most-n < left) {
			left, at, setting, limits, ok = most-n, id, name, limit, true
		}
	}
	if node, known := p.Node(); known {
		try(node, catalog.HostTasks, catalog.HostThreadMax, "kernel.threads-max")
		try(node, catalog.HostTasks, catalog.HostPIDMax, "kernel.pid_max")
	}
	for cgroup := range p.Cgroups(process) {
		try(cgroup, catalog.CgroupPids, catalog.CgroupPidsLimit, "pids.max")
	}
	return left, at, setting, limits, ok
}
