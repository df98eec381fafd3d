// SPDX-License-Identifier: Apache-2.0

package catalog

import . "github.com/headroom-project/headroom/agent/observe" //nolint:staticcheck // declarations read as a table

func cgroupMemory(kind, help string) *Metric {
	return &Metric{Name: "headroom.cgroup.memory.stat", Attr: "kind=" + kind, Unit: Bytes, Kind: Gauge, Fold: Summed, About: Cgroup, Help: help}
}

// Memory of each cgroup including its descendants, in v1 (memory controller, the total_
// lines) and v2 (mm/memcontrol.c, admin-guide/cgroup-v2.rst). The working set is usage
// minus inactive_file, as in the kubelet.
var (
	CgroupMemoryUsage = &Metric{Name: "headroom.cgroup.memory.usage", Unit: Bytes, Kind: Gauge, Fold: Summed, About: Cgroup, Help: "Memory charged to the cgroup, page cache included.", Series: true, Limit: CgroupMemoryLimit}
	CgroupMemoryPeak  = &Metric{Name: "headroom.cgroup.memory.peak", Unit: Bytes, Kind: Gauge, Fold: Summed, About: Cgroup, Help: "Highest memory ever charged to the cgroup; absent before Linux 5.19 on v2."}
	CgroupMemoryLimit = &Metric{Name: "headroom.cgroup.memory.limit", Unit: Bytes, Kind: Gauge, Fold: Summed, About: Cgroup, Help: "The cgroup's own hard limit; absent without one. Ancestors may limit it further."}
	CgroupMemoryHigh  = &Metric{Name: "headroom.cgroup.memory.high", Unit: Bytes, Kind: Gauge, Fold: Summed, About: Cgroup, Help: "Memory above which allocating tasks of the cgroup are slowed down (memory.high, v2); absent without one."}

	CgroupMemoryAnon         = &Metric{Name: "headroom.cgroup.memory.stat", Attr: "kind=anon", Unit: Bytes, Kind: Gauge, Fold: Summed, About: Cgroup, Help: "Anonymous memory of processes: not backed by a file.", Series: true, Keep: &Keep{From: 16 << 20}, Limit: CgroupMemoryLimit}
	CgroupMemoryFile         = cgroupMemory("file", "Page cache, tmpfs included.")
	CgroupMemoryInactiveFile = cgroupMemory("inactive_file", "Page cache that is reclaimed first.")
	CgroupMemoryShmem        = kept(cgroupMemory("shmem", "tmpfs and shared memory: cannot be reclaimed without swap."), 16<<20)
	CgroupMemoryKernel       = cgroupMemory("kernel", "Kernel memory: stacks, page tables, slab.")
	CgroupMemorySwap         = cgroupMemory("swap", "Swap in use.")

	CgroupHighEvents = &Metric{Name: "headroom.cgroup.memory.high.events", Unit: Count, Kind: Counter, About: Cgroup, Help: "Times that tasks of the cgroup were slowed down because it was above memory.high (v2).", Series: true}
	// CgroupMaxEvents counts events of the cgroup itself, without its descendants, so
	// that it identifies the cgroup whose limit was reached.
	CgroupMaxEvents = &Metric{Name: "headroom.cgroup.memory.max.events", Unit: Count, Kind: Counter, About: Cgroup, Help: "Times that the cgroup's own limit was hit and something had to be reclaimed (memory.events.local max; v1: memory.failcnt).", Series: true, Exclusive: true}
	CgroupOOMEvents = &Metric{Name: "headroom.cgroup.memory.oom.events", Unit: Count, Kind: Counter, About: Cgroup, Help: "Times that nothing could be reclaimed under the cgroup's own limit (memory.events.local oom; absent on v1).", Exclusive: true}
	CgroupOOMKills  = &Metric{Name: "headroom.cgroup.memory.oom_kills", Unit: Count, Kind: Counter, About: Cgroup, Help: "Processes of the cgroup itself that were OOM-killed, for whichever limit.", Exclusive: true}

	CgroupMajorFaults = &Metric{Name: "headroom.cgroup.memory.major_faults", Unit: "{fault}", Kind: Counter, About: Cgroup, Help: "Page faults that had to wait for a disk.", Internal: true}
	CgroupRefaults    = &Metric{Name: "headroom.cgroup.memory.refaults", Unit: "{page}", Kind: Counter, About: Cgroup, Help: "Pages of files read again after they were evicted (workingset_refault_file)."}
	CgroupThrash      = &Metric{Name: "headroom.cgroup.memory.refaults.active", Unit: "{page}", Kind: Counter, About: Cgroup, Help: "Refaults of pages that were in the working set (workingset_restore_file)."}
	CgroupReclaimed   = &Metric{Name: "headroom.cgroup.memory.reclaimed", Unit: "{page}", Kind: Counter, About: Cgroup, Help: "Pages reclaimed from the cgroup (pgsteal; absent on v1 kernels without it).", Internal: true}
)

var cgroupMemoryMetrics = []*Metric{CgroupMemoryUsage, CgroupMemoryPeak, CgroupMemoryLimit, CgroupMemoryHigh,
	CgroupMemoryAnon, CgroupMemoryFile, CgroupMemoryInactiveFile, CgroupMemoryShmem, CgroupMemoryKernel, CgroupMemorySwap,
	CgroupHighEvents, CgroupMaxEvents, CgroupOOMEvents, CgroupOOMKills, CgroupMajorFaults, CgroupRefaults, CgroupThrash, CgroupReclaimed}
