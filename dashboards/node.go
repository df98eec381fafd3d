// SPDX-License-Identifier: Apache-2.0

package dashboards

import . "github.com/headroom-project/headroom/agent/catalog" //nolint:staticcheck // queries read as a table

func nodeBoard() *dashboard {
	each := func(labels ...string) string { return by(append([]string{instance}, labels...)...) }
	line := func(m metric, what string) query { return query{sum(perNode, rate(m, ofNode)), what + " " + nodeName} }
	return board("headroom-node", "Node", "One machine: CPUs, run queue, pressure, memory, disks and network interfaces.", []variable{chooseNode()},
		graph("CPU utilization by core", "Share of time in which a core was not idle.", unitShare,
			query{most("1 - " + sum(each(core), rate(CPUIdle, ofNode)+" + "+noMode(rate(CPUIOWait, ofNode)))), nodeName + " core {{" + core + "}}"}).most(1).warn(0.8, 0.95).about("host-saturated"),
		graph("CPU usage by mode", "CPU time in cores.", unitCores,
			line(CPUUser, "user"), line(CPUSystem, "system"), line(CPUIRQ, "interrupts"), line(CPUSteal, "steal"), line(CPUIOWait, "iowait")).stacked(),
		graph("Runnable tasks", "Tasks that run or wait for a CPU at the time of the sample, and the number of cores.", unitCount,
			query{highest(perNode, sel(RunnableTasks, ofNode)), "runnable " + nodeName}, query{highest(perNode, sel(CPUCount, ofNode)), "cores " + nodeName}).dashed("cores"),
		graph("Pressure (PSI)", "Share of time in which at least one task waited for a CPU, memory or IO (PSI some).", unitShare,
			line(HostCPUSome, "CPU"), line(HostMemorySome, "memory"), line(HostIOSome, "IO")).most(1).warn(0.2, 0.5),
		graph("Memory", "Memory available to new programs without swapping, page cache, anonymous memory, and the total.", unitBytes,
			query{lowest(perNode, sel(HostMemoryAvailable, ofNode)), "available " + nodeName}, query{highest(perNode, sel(MemoryTotal, ofNode)), "total " + nodeName},
			query{highest(perNode, sel(HostMemoryCached, ofNode)), "page cache " + nodeName}, query{highest(perNode, sel(HostMemoryAnon, ofNode)), "anonymous " + nodeName}).dashed("total"),
		graph("Page cache refaults and swap-in", "Evicted file pages per second that were read again, and pages read from swap. Refaults of the working set are thrashing.", unitPages,
			line(HostRefaults, "all refaults"), line(HostThrash, "working set"), line(HostSwapIn, "swap-in")).about("page-cache-thrash"),
		graph("OOM kills", "Processes killed within one hour, because of a memory limit or because the host ran out of memory.", unitCount,
			query{sum(perNode, "increase("+sel(HostOOMKills, ofNode)+"[1h])"), nodeName}).whole(),
		graph("Disk: utilization", "Share of time in which at least one request was in progress. A disk that serves requests in parallel can be busy all the time and not saturated.", unitShare,
			query{most(sum(each(device), rate(DiskBusy, ofNode))), nodeName + " {{" + device + "}}"}).most(1),
		graph("Disk: latency", "Average time of a request, including time in the queue.", unitSeconds,
			query{most(share(sum(each(device), rate(DiskReadTime, ofNode)), sum(each(device), rate(DiskReads, ofNode)))), "read " + nodeName + " {{" + device + "}}"},
			query{most(share(sum(each(device), rate(DiskWriteTime, ofNode)), sum(each(device), rate(DiskWrites, ofNode)))), "write " + nodeName + " {{" + device + "}}"}).warn(0.02, 0.1).about("disk-saturated"),
		graph("Disk: queue depth", "Average number of requests in flight.", unitCount, query{most(sum(each(device), rate(DiskQueueTime, ofNode))), nodeName + " {{" + device + "}}"}),
		graph("Disk: throughput", "Bytes per second.", unitRate,
			query{most(sum(each(device), rate(DiskRead, ofNode))), "read " + nodeName + " {{" + device + "}}"}, query{most(sum(each(device), rate(DiskWritten, ofNode))), "written " + nodeName + " {{" + device + "}}"}),
		graph("Network: throughput", "Bytes per second.", unitRate,
			query{most(sum(each(nic), rate(NICReceived, ofNode))), "received " + nodeName + " {{" + nic + "}}"}, query{most(sum(each(nic), rate(NICSent, ofNode))), "sent " + nodeName + " {{" + nic + "}}"}),
		graph("Network: link utilization", "Throughput divided by the speed of the link, or by the rate of its traffic shaper. Absent where neither is known.", unitShare,
			query{most(share(sum(each(nic), rate(NICSent, ofNode)), "("+highest(each(nic), sel(NICShapedTo, ofNode))+" or "+highest(each(nic), sel(NICSpeed, ofNode))+")")), "sent " + nodeName + " {{" + nic + "}}"},
			query{most(share(sum(each(nic), rate(NICReceived, ofNode)), highest(each(nic), sel(NICSpeed, ofNode)))), "received " + nodeName + " {{" + nic + "}}"}).warn(0.7, 0.9).about("nic-saturated"),
		graph("Network: packets dropped", "Packets per second dropped by interfaces, by send queues and in the backlog of a CPU.", unitPackets,
			query{most(sum(each(nic), rate(NICDroppedIn, ofNode))), "received " + nodeName + " {{" + nic + "}}"}, query{most(sum(each(nic), rate(NICDroppedOut, ofNode))), "sent " + nodeName + " {{" + nic + "}}"},
			query{most(sum(each(nic), rate(NICQueueDropped, ofNode))), "queue " + nodeName + " {{" + nic + "}}"}, line(SoftnetDropped, "CPU backlog")),
		graph("Kernel limits", "Share in use of kernel.threads-max and kernel.pid_max, and of the neighbour tables (gc_thresh3).", unitShare,
			query{share(highest(perNode, sel(HostTasks, ofNode)), lowest(perNode, sel(HostThreadMax, ofNode))), "threads-max " + nodeName},
			query{share(highest(perNode, sel(HostTasks, ofNode)), lowest(perNode, sel(HostPIDMax, ofNode))), "pid_max " + nodeName},
			query{share(highest(perNode, sel(NeighbourEntries4, ofNode)), lowest(perNode, sel(NeighbourLimit4, ofNode))), "neighbours IPv4 " + nodeName},
			query{share(highest(perNode, sel(NeighbourEntries6, ofNode)), lowest(perNode, sel(NeighbourLimit6, ofNode))), "neighbours IPv6 " + nodeName}).most(1).warn(0.8, 0.95).about("kernel-limit-exhaustion"),
		graph("File systems: space", "Space in use, as a share of what processes without privileges can use.", unitShare,
			query{most(sum(each(mountpoint), sel(FilesystemUsed, ofNode)) + " / (" + sum(each(mountpoint), sel(FilesystemUsed, ofNode)) + " + " + sum(each(mountpoint), sel(FilesystemFree, ofNode)) + ")"), nodeName + " {{" + mountpoint + "}}"}).most(1).warn(0.95, 0.99).about("disk-space-exhaustion"),
		graph("File systems: inodes", "Inodes in use, as a share of all. Absent where their number is not limited.", unitShare,
			query{most(sum(each(mountpoint), sel(FilesystemInodesUsed, ofNode)) + " / (" + sum(each(mountpoint), sel(FilesystemInodesUsed, ofNode)) + " + " + sum(each(mountpoint), sel(FilesystemInodesFree, ofNode)) + ")"), nodeName + " {{" + mountpoint + "}}"}).most(1).warn(0.95, 0.99),
	)
}
