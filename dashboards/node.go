// SPDX-License-Identifier: Apache-2.0

package dashboards

import . "github.com/headroom-project/headroom/agent/catalog" //nolint:staticcheck // queries read as a table

func nodeBoard() *dashboard {
	each := func(labels ...string) string { return by(append([]string{instance}, labels...)...) }
	line := func(m metric, what string) query { return query{sum(perNode, rate(m, ofNode)), what + " " + nodeName} }
	return board("headroom-node", "Node", "One machine: cores, run queue, pressure, memory, disks, network.", []variable{chooseNode()},
		graph("Each core", "Share of the time in which a core was not idle.", unitShare,
			query{most("1 - " + sum(each(core), rate(CPUIdle, ofNode)+" + "+noMode(rate(CPUIOWait, ofNode)))), nodeName + " core {{" + core + "}}"}).most(1).warn(0.8, 0.95).about("host-saturated"),
		graph("Where CPU time goes", "In cores.", unitCores,
			line(CPUUser, "user"), line(CPUSystem, "system"), line(CPUIRQ, "interrupts"), line(CPUSteal, "stolen by the hypervisor"), line(CPUIOWait, "idle, waiting for a disk")).stacked(),
		graph("Runnable tasks against cores", "Tasks that run or wait for a CPU at the moment of the reading.", unitCount,
			query{highest(perNode, sel(RunnableTasks, ofNode)), "runnable " + nodeName}, query{highest(perNode, sel(CPUCount, ofNode)), "cores " + nodeName}).dashed("cores"),
		graph("Pressure", "Share of the time in which at least one task waited.", unitShare,
			line(HostCPUSome, "cpu"), line(HostMemorySome, "memory"), line(HostIOSome, "disk")).most(1).warn(0.2, 0.5),
		graph("Memory", "What a new program could have without swapping, of all there is.", unitBytes,
			query{lowest(perNode, sel(HostMemoryAvailable, ofNode)), "available " + nodeName}, query{highest(perNode, sel(MemoryTotal, ofNode)), "all there is " + nodeName},
			query{highest(perNode, sel(HostMemoryCached, ofNode)), "page cache " + nodeName}, query{highest(perNode, sel(HostMemoryAnon, ofNode)), "processes " + nodeName}).dashed("all there is"),
		graph("Pages read again", "Pages of files that had been evicted and were needed; those of the working set are thrashing.", unitPages,
			line(HostRefaults, "all"), line(HostThrash, "of the working set"), line(HostSwapIn, "from swap")).about("page-cache-thrash"),
		graph("Killed for memory", "Processes killed by a limit or by the host, in each hour.", unitCount,
			query{sum(perNode, "increase("+sel(HostOOMKills, ofNode)+"[1h])"), nodeName}).whole(),
		graph("Disk: busy", "Share of the time in which the disk had something to do. One that works on many requests at once is not full when it is always busy.", unitShare,
			query{most(sum(each(device), rate(DiskBusy, ofNode))), nodeName + " {{" + device + "}}"}).most(1),
		graph("Disk: time of a request", "Queueing included.", unitSeconds,
			query{most(share(sum(each(device), rate(DiskReadTime, ofNode)), sum(each(device), rate(DiskReads, ofNode)))), "read " + nodeName + " {{" + device + "}}"},
			query{most(share(sum(each(device), rate(DiskWriteTime, ofNode)), sum(each(device), rate(DiskWrites, ofNode)))), "write " + nodeName + " {{" + device + "}}"}).warn(0.02, 0.1).about("disk-saturated"),
		graph("Disk: requests in flight", "Their average number.", unitCount, query{most(sum(each(device), rate(DiskQueueTime, ofNode))), nodeName + " {{" + device + "}}"}),
		graph("Disk: throughput", "Bytes a second.", unitRate,
			query{most(sum(each(device), rate(DiskRead, ofNode))), "read " + nodeName + " {{" + device + "}}"}, query{most(sum(each(device), rate(DiskWritten, ofNode))), "written " + nodeName + " {{" + device + "}}"}),
		graph("Network: throughput", "Bytes a second.", unitRate,
			query{most(sum(each(nic), rate(NICReceived, ofNode))), "received " + nodeName + " {{" + nic + "}}"}, query{most(sum(each(nic), rate(NICSent, ofNode))), "sent " + nodeName + " {{" + nic + "}}"}),
		graph("Network: share of the link", "Of the speed of the link, or of what a shaper lets out; absent where neither is known.", unitShare,
			query{most(share(sum(each(nic), rate(NICSent, ofNode)), "("+highest(each(nic), sel(NICShapedTo, ofNode))+" or "+highest(each(nic), sel(NICSpeed, ofNode))+")")), "sent " + nodeName + " {{" + nic + "}}"},
			query{most(share(sum(each(nic), rate(NICReceived, ofNode)), highest(each(nic), sel(NICSpeed, ofNode)))), "received " + nodeName + " {{" + nic + "}}"}).warn(0.7, 0.9).about("nic-saturated"),
		graph("Network: packets lost", "In cards, in the kernel and in send queues, a second.", unitPackets,
			query{most(sum(each(nic), rate(NICDroppedIn, ofNode))), "in " + nodeName + " {{" + nic + "}}"}, query{most(sum(each(nic), rate(NICDroppedOut, ofNode))), "out " + nodeName + " {{" + nic + "}}"},
			query{most(sum(each(nic), rate(NICQueueDropped, ofNode))), "queue " + nodeName + " {{" + nic + "}}"}, line(SoftnetDropped, "backlog of a core")),
	)
}
