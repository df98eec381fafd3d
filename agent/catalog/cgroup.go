// SPDX-License-Identifier: Apache-2.0

package catalog

import . "github.com/headroom-project/headroom/agent/observe" //nolint:staticcheck // declarations read as a table

// CPU limits and throttling of each cgroup, v1 (cpu and cpuacct controllers)
// and v2 alike (kernel/sched/fair.c, Documentation/scheduler/sched-bwc.rst).
var (
	CgroupCPUTime     = &Metric{Name: "headroom.cgroup.cpu.time", Unit: Seconds, Kind: Counter, Activity: true, About: Cgroup, Help: "CPU time of the cgroup and everything below it.", Series: true, Limit: CgroupCPULimit}
	CgroupCPULimit    = &Metric{Name: "headroom.cgroup.cpu.limit", Unit: Cores, Kind: Gauge, Fold: Summed, About: Cgroup, Help: "The cgroup's own quota divided by its period; absent without a quota. Ancestors may limit it further."}
	CgroupCPUPeriod   = &Metric{Name: "headroom.cgroup.cpu.period", Unit: Seconds, Kind: Gauge, Fold: Summed, About: Cgroup, Help: "Length of the quota's period.", Internal: true}
	CgroupCPUWeight   = &Metric{Name: "headroom.cgroup.cpu.weight", Unit: Ratio, Kind: Gauge, Fold: Summed, About: Cgroup, Help: "Share under contention relative to the default (cpu.weight/100 or cpu.shares/1024).", Internal: true}
	CgroupPeriods     = &Metric{Name: "headroom.cgroup.cpu.periods", Unit: Count, Kind: Counter, About: Cgroup, Help: "Quota periods in which the cgroup had something to run.", Series: true}
	CgroupThrottled   = &Metric{Name: "headroom.cgroup.cpu.throttled_periods", Unit: Count, Kind: Counter, About: Cgroup, Help: "Quota periods in which the quota ran out.", Series: true}
	CgroupThrottledS  = &Metric{Name: "headroom.cgroup.cpu.throttled.time", Unit: Seconds, Kind: Counter, About: Cgroup, Help: "Time for which run queues of the cgroup were throttled, added up over CPUs.", Series: true}
	CgroupCPUSetCount = &Metric{Name: "headroom.cgroup.cpuset.count", Unit: Cores, Kind: Gauge, Fold: Summed, About: Cgroup, Help: "Logical CPUs that the cgroup may use; absent where it is not restricted."}
)

var cgroupMetrics = []*Metric{CgroupCPUTime, CgroupCPULimit, CgroupCPUPeriod, CgroupCPUWeight, CgroupPeriods, CgroupThrottled, CgroupThrottledS, CgroupCPUSetCount}
