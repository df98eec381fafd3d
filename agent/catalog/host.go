// SPDX-License-Identifier: Apache-2.0

package catalog

import . "github.com/headroom-project/headroom/agent/observe" //nolint:staticcheck // declarations read as a table

// Facts about the machine.
var (
	CPUCount    = &Metric{Name: "system.cpu.logical.count", Unit: Cores, Kind: Gauge, Fold: Summed, About: Node, Help: "Logical CPUs online."}
	MemoryTotal = &Metric{Name: "system.memory.limit", Unit: Bytes, Kind: Gauge, Fold: Summed, About: Node, Help: "Memory that the kernel manages (MemTotal)."}
	// RunnableTasks is an instantaneous value, not an average: the load average
	// includes tasks that wait for disks.
	RunnableTasks = &Metric{Name: "headroom.host.runnable", Unit: Count, Kind: Gauge, Fold: Summed, About: Node, Help: "Tasks running or waiting for a CPU at the moment of the reading (procs_running of /proc/stat).", Series: true}
)

var hostMetrics = []*Metric{CPUCount, MemoryTotal, RunnableTasks}
