// SPDX-License-Identifier: Apache-2.0

package catalog

import . "github.com/headroom-project/headroom/agent/observe" //nolint:staticcheck // declarations read as a table

func cpuTime(mode, help string) *Metric {
	return &Metric{Name: "system.cpu.time", Attr: "cpu.mode=" + mode, Unit: Seconds, Kind: Counter, About: CPU, Help: help, Series: true}
}

// Time of each logical CPU by mode, from /proc/stat (fs/proc/stat.c). Modes
// exclude one another: guest time is taken out of user and nice.
var (
	CPUUser    = cpuTime("user", "Time in user mode, niced or not, guests excluded.")
	CPUSystem  = cpuTime("system", "Time in the kernel on behalf of processes.")
	CPUIdle    = cpuTime("idle", "Idle time.")
	CPUIOWait  = cpuTime("iowait", "Idle time while a task of this CPU waited for a disk.")
	CPUIRQ     = cpuTime("interrupt", "Time in hard and soft interrupts.")
	CPUSoftIRQ = &Metric{Name: "headroom.cpu.softirq.time", Unit: Seconds, Kind: Counter, About: CPU, Help: "The part of interrupt time that soft interrupts took (network, timers)."}
	CPUSteal   = cpuTime("steal", "Time that the hypervisor gave to others while this CPU had work.")
	CPUGuest   = &Metric{Name: "headroom.cpu.guest.time", Unit: Seconds, Kind: Counter, About: CPU, Help: "Time running guests."}
)

var cpuMetrics = []*Metric{CPUUser, CPUSystem, CPUIdle, CPUIOWait, CPUIRQ, CPUSoftIRQ, CPUSteal, CPUGuest}
