// SPDX-License-Identifier: Apache-2.0

package dashboards

import . "github.com/headroom-project/headroom/agent/catalog" //nolint:staticcheck // queries read as a table

func containersBoard() *dashboard {
	return board("headroom-containers", "Containers", "Limits, throttling, pressure and the right size of every container, pod and unit.", chooseContainer(),
		graph("CPU against the limit", "Share of the quota that was used; absent without one.", unitShare,
			query{share(sum(perCgroup, rate(CgroupCPUTime, ofCgroup)), lowest(perCgroup, sel(CgroupCPULimit, ofCgroup))), cgroupName}).warn(0.8, 0.95),
		graph("Throttled periods", "Share of the quota's periods in which it ran out.", unitShare,
			query{share(sum(perCgroup, rate(CgroupThrottled, ofCgroup)), sum(perCgroup, rate(CgroupPeriods, ofCgroup))), cgroupName}).warn(0.05, 0.25).about("cpu-throttled"),
		graph("Throttled time", "Added up over CPUs, in seconds a second.", unitSeconds, query{sum(perCgroup, rate(CgroupThrottledS, ofCgroup)), cgroupName}),
		graph("CPU", "In cores: what it took and what it may.", unitCores,
			query{top("20", sum(perCgroup, rate(CgroupCPUTime, ofCgroup))), "used " + cgroupName}, query{lowest(perCgroup, sel(CgroupCPULimit, ofCgroup)), "limit " + cgroupName}),
		graph("Memory against the limit", "Memory that cannot be reclaimed without loss: all that is charged less page cache that goes first.", unitShare,
			query{share(sum(perCgroup, sel(CgroupMemoryUsage, ofCgroup))+" - "+sum(perCgroup, sel(CgroupMemoryInactiveFile, ofCgroup)), lowest(perCgroup, sel(CgroupMemoryLimit, ofCgroup))), cgroupName}).warn(0.85, 0.95).about("memory-limit-pressure"),
		graph("Memory", "All that is charged, and the most that ever was.", unitBytes,
			query{top("20", sum(perCgroup, sel(CgroupMemoryUsage, ofCgroup))), "now " + cgroupName}, query{top("20", highest(perCgroup, sel(CgroupMemoryPeak, ofCgroup))), "peak " + cgroupName}),
		graph("The limit was hit", "Times a second that something had to be reclaimed for room.", unitPerSec, query{sum(perCgroup, rate(CgroupMaxEvents, ofCgroup)), cgroupName}),
		graph("Killed for memory", "Processes, in each hour.", unitCount, query{sum(perCgroup, "increase("+sel(CgroupOOMKills, ofCgroup)+"[1h])"), cgroupName}).warn(1, 1).about("oom-killed"),
		graph("Waiting for a CPU", "Share of the time in which a task of the container waited, throttling included.", unitShare, query{top("20", sum(perCgroup, rate(CgroupCPUSome, ofCgroup))), cgroupName}).warn(0.2, 0.5),
		graph("Waiting for memory or a disk", "Share of the time in which a task of the container waited.", unitShare,
			query{top("20", sum(perCgroup, rate(CgroupMemorySome, ofCgroup))), "memory " + cgroupName}, query{top("20", sum(perCgroup, rate(CgroupIOSome, ofCgroup))), "disk " + cgroupName}).warn(0.1, 0.3),
		graph("Pages read again", "Pages of the working set that had been evicted and were read again, a second.", unitPerSec, query{sum(perCgroup, rate(CgroupThrash, ofCgroup)), cgroupName}),
	)
}
