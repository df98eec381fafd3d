// SPDX-License-Identifier: Apache-2.0

package catalog

import . "github.com/headroom-project/headroom/agent/observe" //nolint:staticcheck // declarations read as a table

func neighbour(name, family string, kind Kind, help string) *Metric {
	m := &Metric{Name: "headroom.neighbour." + name, Attr: "network.type=" + family, Unit: Count, Kind: kind, About: Node, Help: help}
	if kind == Gauge {
		m.Fold = Summed
	}
	return m
}

const (
	neighbourEntries = "Entries of the neighbour table, of all network namespaces."
	neighbourLimit   = "Entries from which the kernel adds no neighbour (gc_thresh3)."
	neighbourExempt  = "Entries that do not count towards the limit: permanent ones, and those that a routing daemon learned. Of headroom's network namespace, read when half of the limit is in use."
	neighbourRefused = "Times that a neighbour was not added because the table was full (table_fulls)."
)

// Limits of the kernel on things that have no other metric: processes and threads, inotify
// instances, memory mappings, neighbours.
var (
	CgroupPids        = &Metric{Name: "headroom.cgroup.pids", Unit: Count, Kind: Gauge, Fold: Summed, About: Cgroup, Help: "Processes and threads in the cgroup and those below it, zombies included; only where the cgroup itself has a limit.", Series: true, Keep: &Keep{From: 1024}, Limit: CgroupPidsLimit}
	CgroupPidsLimit   = &Metric{Name: "headroom.cgroup.pids.limit", Unit: Count, Kind: Gauge, Fold: Summed, About: Cgroup, Help: "The cgroup's own limit of processes and threads (pids.max); absent without one. Ancestors may limit it further."}
	CgroupPidsRefused = &Metric{Name: "headroom.cgroup.pids.refused", Unit: Count, Kind: Counter, About: Cgroup, Help: "Times that a process or thread was not created because of a limit of processes (pids.events): counted in the cgroup of the process that asked, and from Linux 6.11 on cgroup v2 in the cgroup whose limit was reached.", Series: true, Exclusive: true}

	HostTasks     = &Metric{Name: "headroom.host.tasks", Unit: Count, Kind: Gauge, Fold: Summed, About: Node, Help: "Processes and threads of the host, zombies included.", Series: true, Keep: &Keep{From: 1}, Limit: HostThreadMax}
	HostThreadMax = &Metric{Name: "headroom.host.tasks.limit", Attr: "setting=kernel.threads-max", Unit: Count, Kind: Gauge, Fold: Lowest, About: Node, Help: "Processes and threads that the host may have at a time."}
	HostPIDMax    = &Metric{Name: "headroom.host.tasks.limit", Attr: "setting=kernel.pid_max", Unit: Count, Kind: Gauge, Fold: Lowest, About: Node, Help: "Numbers that there are for processes and threads."}

	ProcessZombies       = &Metric{Name: "headroom.process.zombies", Unit: Count, Kind: Gauge, Fold: Summed, About: Process, Help: "Children of the process that have ended, and that it has not waited for.", Series: true, Keep: &Keep{From: 32}}
	ProcessUser          = internal(&Metric{Name: "headroom.process.user", Unit: Count, Kind: Gauge, Fold: Highest, About: Process, Help: "Number of the user whose limit the process shares with the user's other processes; only of processes that have a metric headroom.process.user."})
	ProcessUserTasks     = internal(&Metric{Name: "headroom.process.user.tasks", Unit: Count, Kind: Gauge, Fold: Highest, About: Process, Help: "Processes and threads of the process's user; only where its limit applies to the process, and a quarter of it is used.", Series: true})
	ProcessUserTaskLimit = internal(&Metric{Name: "headroom.process.user.tasks.limit", Unit: Count, Kind: Gauge, Fold: Lowest, About: Process, Help: "Number of processes and threads of its user from which the process cannot create another (RLIMIT_NPROC)."})
	ProcessInotify       = internal(&Metric{Name: "headroom.process.inotify.instances", Unit: Count, Kind: Gauge, Fold: Summed, About: Process, Help: "inotify instances that the process holds, without those that it shares with its parent.", Series: true})
	ProcessWatches       = internal(&Metric{Name: "headroom.process.inotify.watches", Unit: Count, Kind: Gauge, Fold: Summed, About: Process, Help: "Files and directories that the inotify instances of the process watch.", Series: true})
	ProcessUserInotify   = internal(&Metric{Name: "headroom.process.user.inotify.instances", Unit: Count, Kind: Gauge, Fold: Highest, About: Process, Help: "inotify instances of all processes of the process's user.", Series: true, Keep: &Keep{From: 64}})
	ProcessUserWatches   = internal(&Metric{Name: "headroom.process.user.inotify.watches", Unit: Count, Kind: Gauge, Fold: Highest, About: Process, Help: "inotify watches of all processes of the process's user.", Series: true, Keep: &Keep{From: 4096}})
	InotifyInstanceLimit = &Metric{Name: "headroom.inotify.instances.limit", Unit: Count, Kind: Gauge, Fold: Lowest, About: Node, Help: "inotify instances that each user may have (fs.inotify.max_user_instances)."}
	InotifyWatchLimit    = &Metric{Name: "headroom.inotify.watches.limit", Unit: Count, Kind: Gauge, Fold: Lowest, About: Node, Help: "inotify watches that each user may have (fs.inotify.max_user_watches)."}
	ProcessMaps          = internal(&Metric{Name: "headroom.process.memory.maps", Unit: Count, Kind: Gauge, Fold: Highest, About: Process, Help: "Memory mappings of the process; only of processes that can have a quarter of the limit, and have an eighth of it.", Series: true, Keep: &Keep{From: 8192}})
	MapLimit             = &Metric{Name: "headroom.memory.maps.limit", Unit: Count, Kind: Gauge, Fold: Lowest, About: Node, Help: "Memory mappings that each process may have (vm.max_map_count)."}
	NeighbourEntries4    = neighbour("entries", "ipv4", Gauge, neighbourEntries)
	NeighbourEntries6    = neighbour("entries", "ipv6", Gauge, neighbourEntries)
	NeighbourLimit4      = neighbour("limit", "ipv4", Gauge, neighbourLimit)
	NeighbourLimit6      = neighbour("limit", "ipv6", Gauge, neighbourLimit)
	NeighbourExempt4     = internal(neighbour("exempt", "ipv4", Gauge, neighbourExempt))
	NeighbourExempt6     = internal(neighbour("exempt", "ipv6", Gauge, neighbourExempt))
	NeighbourRefused4    = neighbour("refused", "ipv4", Counter, neighbourRefused)
	NeighbourRefused6    = neighbour("refused", "ipv6", Counter, neighbourRefused)
)

var limitMetrics = []*Metric{CgroupPids, CgroupPidsLimit, CgroupPidsRefused, HostTasks, HostThreadMax, HostPIDMax,
	ProcessZombies, ProcessUser, ProcessUserTasks, ProcessUserTaskLimit, ProcessInotify, ProcessWatches, ProcessUserInotify, ProcessUserWatches,
	InotifyInstanceLimit, InotifyWatchLimit, ProcessMaps, MapLimit,
	NeighbourEntries4, NeighbourEntries6, NeighbourLimit4, NeighbourLimit6, NeighbourExempt4, NeighbourExempt6, NeighbourRefused4, NeighbourRefused6}
