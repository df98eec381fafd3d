// SPDX-License-Identifier: Apache-2.0

package dashboards

import . "github.com/headroom-project/headroom/agent/catalog" //nolint:staticcheck // queries read as a table

func containersBoard() *dashboard {
	return board("headroom-containers", "Containers", "Limits, throttling, pressure and the right size of every container, pod and unit.", chooseContainer(),
		graph("CPU against the limit", "Share of the quota that was used; absent without one.", unitShare,
			query{most(share(sum(perCgroup, rate(CgroupCPUTime, ofCgroup)), lowest(perCgroup, sel(CgroupCPULimit, ofCgroup)))), cgroupName}).warn(0.8, 0.95),
		graph("Throttled periods", "Share of the quota's periods in which it ran out.", unitShare,
			query{most(share(sum(perCgroup, rate(CgroupThrottled, ofCgroup)), sum(perCgroup, rate(CgroupPeriods, ofCgroup)))), cgroupName}).warn(0.05, 0.25).about("cpu-throttled"),
		graph("Throttled time", "Added up over CPUs, in seconds a second.", unitTime, query{most(sum(perCgroup, rate(CgroupThrottledS, ofCgroup))), cgroupName}),
		graph("CPU", "In cores: what it took and what it may.", unitCores,
			query{most(sum(perCgroup, rate(CgroupCPUTime, ofCgroup))), "used " + cgroupName}, query{among(perCgroup, lowest(perCgroup, sel(CgroupCPULimit, ofCgroup)), sum(perCgroup, rate(CgroupCPUTime, ofCgroup))), "limit " + cgroupName}).dashed("limit"),
		graph("Memory against the limit", "Memory that cannot be reclaimed without loss: all that is charged less page cache that goes first.", unitShare,
			query{most(share(sum(perCgroup, sel(CgroupMemoryUsage, ofCgroup))+" - "+sum(perCgroup, sel(CgroupMemoryInactiveFile, ofCgroup)), lowest(perCgroup, sel(CgroupMemoryLimit, ofCgroup)))), cgroupName}).warn(0.85, 0.95).about("memory-limit-pressure"),
		graph("Memory", "All that is charged, and the most that ever was.", unitBytes,
			query{most(sum(perCgroup, sel(CgroupMemoryUsage, ofCgroup))), "now " + cgroupName}, query{most(highest(perCgroup, sel(CgroupMemoryPeak, ofCgroup))), "peak " + cgroupName}).dashed("peak"),
		graph("The limit was hit", "Times a second that something had to be reclaimed for room.", unitPerSec, query{most(sum(perCgroup, rate(CgroupMaxEvents, ofCgroup))), cgroupName}),
		graph("Killed for memory", "Processes, in each hour.", unitCount, query{most(sum(perCgroup, "increase("+sel(CgroupOOMKills, ofCgroup)+"[1h])")), cgroupName}).whole().warn(1, 1).about("oom-killed"),
		graph("Waiting for a CPU", "Share of the time in which a task of the container waited, throttling included.", unitShare, query{most(sum(perCgroup, rate(CgroupCPUSome, ofCgroup))), cgroupName}).most(1).warn(0.2, 0.5),
		graph("Waiting for memory or a disk", "Share of the time in which a task of the container waited.", unitShare,
			query{most(sum(perCgroup, rate(CgroupMemorySome, ofCgroup))), "memory " + cgroupName}, query{most(sum(perCgroup, rate(CgroupIOSome, ofCgroup))), "disk " + cgroupName}).most(1).warn(0.1, 0.3),
		graph("Pages read again", "Pages of files that had been evicted and were needed again, a second; those of the working set are thrashing, which cgroup v1 does not tell apart.", unitPages,
			query{most(sum(perCgroup, rate(CgroupRefaults, ofCgroup))), "all " + cgroupName}, query{most(sum(perCgroup, rate(CgroupThrash, ofCgroup))), "of the working set " + cgroupName}),
	)
}
