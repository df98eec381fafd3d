// SPDX-License-Identifier: Apache-2.0

package catalog

import . "github.com/headroom-project/headroom/agent/observe" //nolint:staticcheck // declarations read as a table

func cpuTime(mode, help string) *Metric {
	return &Metric{Name: "system.cpu.time", Attr: "cpu.mode=" + mode, Unit: Seconds, Kind: Counter, About: CPU, Help: help, Series: true}
}

// Time of each logical CPU by mode, from /proc/stat (fs/proc/stat.c). Modes
// exclude one another: guest time is taken out of user and nice.
var (
	CPUUser    = cpuTime("user", "CPU time in user mode, niced tasks included and guests excluded.")
	CPUSystem  = cpuTime("system", "CPU time in the kernel on behalf of processes.")
	CPUIdle    = cpuTime("idle", "CPU time idle.")
	CPUIOWait  = cpuTime("iowait", "CPU time idle while a task of this CPU waited for a disk, in seconds.")
	CPUIRQ     = cpuTime("interrupt", "CPU time in hard and soft interrupts.")
	CPUSoftIRQ = &Metric{Name: "headroom.cpu.softirq.time", Unit: Seconds, Kind: Counter, About: CPU, Help: "CPU time in soft interrupts (network, timers), a part of the interrupt time."}
	CPUSteal   = cpuTime("steal", "CPU time that the hypervisor gave to other guests while this CPU had work.")
	CPUGuest   = &Metric{Name: "headroom.cpu.guest.time", Unit: Seconds, Kind: Counter, About: CPU, Help: "CPU time running guests of this host."}
)

var cpuMetrics = []*Metric{CPUUser, CPUSystem, CPUIdle, CPUIOWait, CPUIRQ, CPUSoftIRQ, CPUSteal, CPUGuest}
