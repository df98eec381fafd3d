// SPDX-License-Identifier: Apache-2.0

package dashboards

import . "github.com/headroom-project/headroom/agent/catalog" //nolint:staticcheck // queries read as a table

func containersBoard() *dashboard {
	return board("headroom-containers", "Containers", "CPU and memory limits, throttling and pressure of containers, pods and systemd units.", chooseContainer(),
		graph("CPU limit utilization", "CPU time divided by the CPU limit. Absent where there is no limit.", unitShare,
			query{most(share(sum(perCgroup, rate(CgroupCPUTime, ofCgroup)), lowest(perCgroup, sel(CgroupCPULimit, ofCgroup)))), cgroupName}).warn(0.8, 0.95),
		graph("CPU throttled periods", "Share of the CFS periods in which the quota ran out.", unitShare,
			query{most(share(sum(perCgroup, rate(CgroupThrottled, ofCgroup)), sum(perCgroup, rate(CgroupPeriods, ofCgroup)))), cgroupName}).warn(0.05, 0.25).about("cpu-throttled"),
		graph("CPU throttled time", "Throttled time in seconds per second, summed over CPUs.", unitTime, query{most(sum(perCgroup, rate(CgroupThrottledS, ofCgroup))), cgroupName}),
		graph("CPU usage and limit", "CPU usage and CPU limit in cores.", unitCores,
			query{most(sum(perCgroup, rate(CgroupCPUTime, ofCgroup))), "used " + cgroupName}, query{among(perCgroup, lowest(perCgroup, sel(CgroupCPULimit, ofCgroup)), sum(perCgroup, rate(CgroupCPUTime, ofCgroup))), "limit " + cgroupName}).dashed("limit").about("right-size"),
		graph("Memory limit utilization", "Memory usage without inactive page cache, which the kernel reclaims first, divided by the memory limit.", unitShare,
			query{most(share(sum(perCgroup, sel(CgroupMemoryUsage, ofCgroup))+" - "+sum(perCgroup, sel(CgroupMemoryInactiveFile, ofCgroup)), lowest(perCgroup, sel(CgroupMemoryLimit, ofCgroup)))), cgroupName}).warn(0.85, 0.95).about("memory-limit-pressure"),
		graph("Memory usage", "Memory charged to the cgroup, and its peak.", unitBytes,
			query{most(sum(perCgroup, sel(CgroupMemoryUsage, ofCgroup))), "now " + cgroupName}, query{most(highest(perCgroup, sel(CgroupMemoryPeak, ofCgroup))), "peak " + cgroupName}).dashed("peak"),
		graph("Memory limit hits", "Times per second that usage reached the limit and the kernel reclaimed memory.", unitPerSec, query{most(sum(perCgroup, rate(CgroupMaxEvents, ofCgroup))), cgroupName}),
		graph("OOM kills", "Processes killed by the OOM killer within one hour.", unitCount, query{most(sum(perCgroup, "increase("+sel(CgroupOOMKills, ofCgroup)+"[1h])")), cgroupName}).whole().warn(1, 1).about("oom-killed"),
		graph("CPU pressure", "Share of time in which at least one task of the container waited for a CPU (PSI some). Throttling is included.", unitShare, query{most(sum(perCgroup, rate(CgroupCPUSome, ofCgroup))), cgroupName}).most(1).warn(0.2, 0.5),
		graph("Memory and IO pressure", "Share of time in which at least one task of the container waited for memory or IO (PSI some).", unitShare,
			query{most(sum(perCgroup, rate(CgroupMemorySome, ofCgroup))), "memory " + cgroupName}, query{most(sum(perCgroup, rate(CgroupIOSome, ofCgroup))), "IO " + cgroupName}).most(1).warn(0.1, 0.3),
		graph("Page cache refaults", "Evicted file pages per second that were read again. Refaults of the working set are thrashing; cgroup v1 does not count them separately.", unitPages,
			query{most(sum(perCgroup, rate(CgroupRefaults, ofCgroup))), "all " + cgroupName}, query{most(sum(perCgroup, rate(CgroupThrash, ofCgroup))), "working set " + cgroupName}),
		graph("Process limit utilization", "Processes and threads divided by the limit of processes (pids.max). Absent where there is no limit.", unitShare,
			query{most(share(sum(perCgroup, sel(CgroupPids, ofCgroup)), lowest(perCgroup, sel(CgroupPidsLimit, ofCgroup)))), cgroupName}).most(1).warn(0.8, 0.95),
		graph("Processes refused", "Processes and threads per second that were not created because of a limit of processes (pids.events).", unitPerSec,
			query{most(sum(perCgroup, rate(CgroupPidsRefused, ofCgroup))), cgroupName}),
	)
}
