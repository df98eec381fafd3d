// SPDX-License-Identifier: Apache-2.0

package catalog

import . "github.com/headroom-project/headroom/agent/observe" //nolint:staticcheck // declarations read as a table

func pressure(name string, about EntityKind, resource, kind, help string) *Metric {
	return &Metric{Name: name, Attr: "resource=" + resource + ",kind=" + kind, Unit: Seconds, Kind: Counter, About: about, Help: help, Series: true}
}

func hostPressure(resource, kind, help string) *Metric {
	return pressure("headroom.host.pressure", Node, resource, kind, help)
}

func cgroupPressure(resource, kind, help string) *Metric {
	return pressure("headroom.cgroup.pressure", Cgroup, resource, kind, help)
}

// Pressure stall information: the "total" field of /proc/pressure and of each cgroup
// (kernel/sched/psi.c), never avg10, which lags.
var (
	HostCPUSome    = hostPressure("cpu", "some", "Time in which at least one task waited for a CPU.")
	HostMemorySome = hostPressure("memory", "some", "Time in which at least one task waited for memory.")
	HostMemoryFull = hostPressure("memory", "full", "Time in which every runnable task waited for memory.")
	HostIOSome     = hostPressure("io", "some", "Time in which at least one task waited for a disk.")
	HostIOFull     = hostPressure("io", "full", "Time in which every runnable task waited for a disk.")

	CgroupCPUSome    = cgroupPressure("cpu", "some", "Time in which at least one task of the cgroup waited for a CPU, throttling included.")
	CgroupMemorySome = cgroupPressure("memory", "some", "Time in which at least one task of the cgroup waited for memory.")
	CgroupMemoryFull = cgroupPressure("memory", "full", "Time in which every runnable task of the cgroup waited for memory.")
	CgroupIOSome     = cgroupPressure("io", "some", "Time in which at least one task of the cgroup waited for a disk.")
	CgroupIOFull     = cgroupPressure("io", "full", "Time in which every runnable task of the cgroup waited for a disk.")
)

var pressureMetrics = []*Metric{HostCPUSome, HostMemorySome, HostMemoryFull, HostIOSome, HostIOFull,
	CgroupCPUSome, CgroupMemorySome, CgroupMemoryFull, CgroupIOSome, CgroupIOFull}
