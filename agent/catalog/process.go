// SPDX-License-Identifier: Apache-2.0

package catalog

import . "github.com/headroom-project/headroom/agent/observe" //nolint:staticcheck // declarations read as a table

// Processes and their threads.
var (
	ProcessCPU      = &Metric{Name: "process.cpu.time", Unit: Seconds, Kind: Counter, Activity: true, About: Process, Help: "CPU time of all threads, user and system.", Series: true}
	ProcessRunQueue = &Metric{Name: "headroom.process.run_queue.time", Unit: Seconds, Kind: Counter, About: Process, Help: "Time that its threads were ready to run and waited for a CPU, quota throttling included on most kernels (sched_info.run_delay)."}
	ProcessRuns     = &Metric{Name: "headroom.process.runs", Unit: Count, Kind: Counter, About: Process, Help: "Times that one of its threads was put on a CPU (sched_info.pcount)."}
	ProcessMemory   = &Metric{Name: "process.memory.usage", Unit: Bytes, Kind: Gauge, Fold: Summed, About: Process, Help: "Resident memory."}
	ProcessThreads  = &Metric{Name: "process.thread.count", Unit: Count, Kind: Gauge, Fold: Summed, About: Process, Help: "Threads."}
	ProcessAge      = &Metric{Name: "headroom.process.age", Unit: Seconds, Kind: Gauge, Fold: Highest, About: Process, Help: "Time since the process started."}
	ProcessAffinity = &Metric{Name: "headroom.process.affinity", Unit: Cores, Kind: Gauge, Fold: Summed, About: Process, Help: "Logical CPUs that its main thread may run on (affinity and cpuset).", Internal: true}
	ProcessListens  = &Metric{Name: "headroom.process.listeners", Unit: Count, Kind: Gauge, Fold: Summed, About: Process, Help: "Listening sockets that it holds; without eBPF looked up only for processes that have an event loop or use a CPU.", Internal: true}

	// Memory and disk, from the kernel's own counts of each process.
	ProcessAnon        = &Metric{Name: "headroom.process.memory.anon", Unit: Bytes, Kind: Gauge, Fold: Summed, About: Process, Help: "Resident memory that no file backs (RssAnon): what a leak makes grow.", Series: true, Keep: &Keep{From: 16 << 20}}
	ProcessMemoryPeak  = &Metric{Name: "headroom.process.memory.peak", Unit: Bytes, Kind: Gauge, Fold: Highest, About: Process, Help: "The most resident memory that it ever had (VmHWM): a leak is at its peak all the time, a sawtooth now and then."}
	ProcessSwap        = &Metric{Name: "headroom.process.memory.swap", Unit: Bytes, Kind: Gauge, Fold: Summed, About: Process, Help: "Memory in swap."}
	ProcessMajorFaults = &Metric{Name: "process.paging.faults", Attr: "process.paging.fault_type=major", Unit: "{fault}", Kind: Counter, About: Process, Help: "Page faults that had to wait for a disk."}
	ProcessDiskRead    = &Metric{Name: "process.disk.io", Attr: "disk.io.direction=read", Unit: Bytes, Kind: Counter, About: Process, Help: "Bytes that it made the kernel read from a disk."}
	ProcessDiskWritten = &Metric{Name: "process.disk.io", Attr: "disk.io.direction=write", Unit: Bytes, Kind: Counter, About: Process, Help: "Bytes that it made the kernel write to a disk, at the time when they became dirty."}
	ProcessDiskWaiting = &Metric{Name: "headroom.process.disk.waiting", Unit: Count, Kind: Gauge, Fold: Summed, About: Process, Help: "Threads that wait for a disk at the moment of the reading.", Series: true, Internal: true}

	// A ceiling on the heap: what the runtime will collect garbage for rather
	// than exceed. What it was read from stays in the sampler.
	ProcessHeapLimit        = &Metric{Name: "headroom.process.heap.limit", Attr: "source=configured", Unit: Bytes, Kind: Gauge, Fold: Lowest, About: Process, Help: "Ceiling of the heap that a flag or the environment sets (--max-old-space-size, NODE_OPTIONS, -Xmx, -XX:MaxRAMPercentage, GOMEMLIMIT)."}
	ProcessHeapLimitDefault = &Metric{Name: "headroom.process.heap.limit", Attr: "source=default", Unit: Bytes, Kind: Gauge, Fold: Lowest, About: Process, Help: "Ceiling of the heap that the runtime chose by the memory that it saw when it started."}

	ProcessOOMKills  = &Metric{Name: "headroom.process.oom_kills", Unit: Count, Kind: Counter, About: Process, Help: "1 for a process that the kernel killed for memory.", Zeroed: true}
	ProcessOOMMemory = &Metric{Name: "headroom.process.oom.memory", Unit: Bytes, Kind: Gauge, Fold: Summed, About: Process, Help: "Memory that no file backs of a process when it was killed for memory.", Internal: true}
	// OOMLimit pairs a victim with the cgroup whose limit it was.
	OOMLimit = &Metric{Name: "headroom.process.oom.limit", Unit: Count, Kind: PairCounter, About: Process, Help: "1 for a process that was killed for memory and the cgroup whose limit was full then, its own or one above; absent when the host's memory was.", Zeroed: true, Second: LabelLimit}

	ThreadCPU      = &Metric{Name: "headroom.thread.cpu.time", Unit: Seconds, Kind: Counter, About: Thread, Help: "CPU time of one thread; threads that used a CPU only.", Series: true}
	ThreadRunQueue = &Metric{Name: "headroom.thread.run_queue.time", Unit: Seconds, Kind: Counter, About: Thread, Help: "Time that the thread was ready to run and waited for a CPU.", Series: true}
)

var processMetrics = []*Metric{ProcessCPU, ProcessRunQueue, ProcessRuns, ProcessMemory, ProcessThreads, ProcessAge, ProcessAffinity, ProcessListens, ThreadCPU, ThreadRunQueue}

var processMemoryMetrics = []*Metric{ProcessAnon, ProcessMemoryPeak, ProcessSwap, ProcessMajorFaults, ProcessDiskRead, ProcessDiskWritten, ProcessDiskWaiting}

var heapMetrics = []*Metric{ProcessHeapLimit, ProcessHeapLimitDefault}

var oomMetrics = []*Metric{ProcessOOMKills, ProcessOOMMemory, OOMLimit}
