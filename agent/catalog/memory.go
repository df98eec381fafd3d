// SPDX-License-Identifier: Apache-2.0

package catalog

import . "github.com/headroom-project/headroom/agent/observe" //nolint:staticcheck // declarations read as a table

// Memory of the host, from /proc/meminfo and /proc/vmstat (mm/vmstat.c). Pages are
// converted to bytes, except where events are counted.
var (
	HostMemoryAvailable = &Metric{Name: "system.linux.memory.available", Unit: Bytes, Kind: Gauge, Fold: Summed, About: Node, Help: "Memory available to new programs without swapping (MemAvailable).", Series: true, Keep: &Keep{From: 0}}
	HostMemoryFree      = &Metric{Name: "system.memory.usage", Attr: "system.memory.state=free", Unit: Bytes, Kind: Gauge, Fold: Summed, About: Node, Help: "Memory not in use."}
	HostMemoryCached    = &Metric{Name: "system.memory.usage", Attr: "system.memory.state=cached", Unit: Bytes, Kind: Gauge, Fold: Summed, About: Node, Help: "Page cache, tmpfs and buffers included."}
	HostMemoryAnon      = &Metric{Name: "headroom.host.memory.anon", Unit: Bytes, Kind: Gauge, Fold: Summed, About: Node, Help: "Anonymous memory of processes: not backed by a file.", Series: true}
	HostSwapUsed        = &Metric{Name: "system.paging.usage", Attr: "system.paging.state=used", Unit: Bytes, Kind: Gauge, Fold: Summed, About: Node, Help: "Swap in use, without pages that are also in memory."}
	HostSwapTotal       = &Metric{Name: "headroom.host.swap.limit", Unit: Bytes, Kind: Gauge, Fold: Summed, About: Node, Help: "Size of the swap; 0 without swap."}

	HostMajorFaults   = &Metric{Name: "system.paging.faults", Attr: "system.paging.type=major", Unit: "{fault}", Kind: Counter, About: Node, Help: "Page faults that had to wait for a disk.", Series: true}
	HostSwapIn        = &Metric{Name: "system.paging.operations", Attr: "system.paging.direction=in", Unit: "{operation}", Kind: Counter, About: Node, Help: "Pages swapped in."}
	HostSwapOut       = &Metric{Name: "system.paging.operations", Attr: "system.paging.direction=out", Unit: "{operation}", Kind: Counter, About: Node, Help: "Pages swapped out."}
	HostDirectReclaim = &Metric{Name: "headroom.host.reclaim.direct", Unit: "{page}", Kind: Counter, About: Node, Help: "Pages that allocating tasks scanned themselves to free memory (pgscan_direct)."}
	HostDirectlyFreed = &Metric{Name: "headroom.host.reclaim.direct.freed", Unit: "{page}", Kind: Counter, About: Node, Help: "Pages that allocating tasks freed themselves (pgsteal_direct).", Internal: true}
	HostRefaults      = &Metric{Name: "headroom.host.refaults", Unit: "{page}", Kind: Counter, About: Node, Help: "Pages of files read again after they were evicted (workingset_refault_file)."}
	HostThrash        = &Metric{Name: "headroom.host.refaults.active", Unit: "{page}", Kind: Counter, About: Node, Help: "Refaults of pages that were in the working set: thrashing (workingset_restore_file)."}
	HostOOMKills      = &Metric{Name: "headroom.host.oom_kills", Unit: Count, Kind: Counter, About: Node, Help: "OOM-killed processes, for a limit or for the memory of the host (oom_kill)."}
)

var memoryMetrics = []*Metric{HostMemoryAvailable, HostMemoryFree, HostMemoryCached, HostMemoryAnon, HostSwapUsed, HostSwapTotal,
	HostMajorFaults, HostSwapIn, HostSwapOut, HostDirectReclaim, HostDirectlyFreed, HostRefaults, HostThrash, HostOOMKills}
