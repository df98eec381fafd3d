// SPDX-License-Identifier: Apache-2.0

package catalog

import . "github.com/headroom-project/headroom/agent/observe" //nolint:staticcheck // declarations read as a table

// Processes and their threads.
var (
	ProcessCPU      = &Metric{Name: "process.cpu.time", Unit: Seconds, Kind: Counter, About: Process, Help: "CPU time of all threads, user and system.", Series: true}
	ProcessRunQueue = &Metric{Name: "headroom.process.run_queue.time", Unit: Seconds, Kind: Counter, About: Process, Help: "Time that its threads were ready to run and waited for a CPU, quota throttling included on most kernels (sched_info.run_delay)."}
	ProcessRuns     = &Metric{Name: "headroom.process.runs", Unit: Count, Kind: Counter, About: Process, Help: "Times that one of its threads was put on a CPU (sched_info.pcount)."}
	ProcessMemory   = &Metric{Name: "process.memory.usage", Unit: Bytes, Kind: Gauge, About: Process, Help: "Resident memory."}
	ProcessThreads  = &Metric{Name: "process.thread.count", Unit: Count, Kind: Gauge, About: Process, Help: "Threads."}
	ProcessAge      = &Metric{Name: "headroom.process.age", Unit: Seconds, Kind: Gauge, About: Process, Help: "Time since the process started."}
	ProcessAffinity = &Metric{Name: "headroom.process.affinity", Unit: Cores, Kind: Gauge, About: Process, Help: "Logical CPUs that its main thread may run on (affinity and cpuset)."}
	ProcessListens  = &Metric{Name: "headroom.process.listeners", Unit: Count, Kind: Gauge, About: Process, Help: "Listening sockets that it holds; looked up for processes that have an event loop."}

	ThreadCPU      = &Metric{Name: "headroom.thread.cpu.time", Unit: Seconds, Kind: Counter, About: Thread, Help: "CPU time of one thread; threads that used a CPU only.", Series: true}
	ThreadRunQueue = &Metric{Name: "headroom.thread.run_queue.time", Unit: Seconds, Kind: Counter, About: Thread, Help: "Time that the thread was ready to run and waited for a CPU.", Series: true}
)

var processMetrics = []*Metric{ProcessCPU, ProcessRunQueue, ProcessRuns, ProcessMemory, ProcessThreads, ProcessAge, ProcessAffinity, ProcessListens, ThreadCPU, ThreadRunQueue}
