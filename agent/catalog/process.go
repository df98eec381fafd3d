// SPDX-License-Identifier: Apache-2.0

package catalog

import . "github.com/headroom-project/headroom/agent/observe" //nolint:staticcheck // declarations read as a table

// Processes and their threads.
var (
	ProcessCPU      = &Metric{Name: "process.cpu.time", Unit: Seconds, Kind: Counter, Activity: true, About: Process, Help: "CPU time of all threads, user and system.", Series: true}
	ProcessRunQueue = &Metric{Name: "headroom.process.run_queue.time", Unit: Seconds, Kind: Counter, About: Process, Help: "Time that threads of the process were ready to run and waited for a CPU, throttling included on most kernels (sched_info.run_delay)."}
	ProcessRuns     = &Metric{Name: "headroom.process.runs", Unit: Count, Kind: Counter, About: Process, Help: "Times that a thread of the process was put on a CPU (sched_info.pcount)."}
	ProcessMemory   = &Metric{Name: "process.memory.usage", Unit: Bytes, Kind: Gauge, Fold: Summed, About: Process, Help: "Resident memory of the process."}
	ProcessThreads  = &Metric{Name: "process.thread.count", Unit: Count, Kind: Gauge, Fold: Summed, About: Process, Help: "Threads of the process."}
	ProcessAge      = &Metric{Name: "headroom.process.age", Unit: Seconds, Kind: Gauge, Fold: Highest, About: Process, Help: "Time since the process started."}
	ProcessAffinity = &Metric{Name: "headroom.process.affinity", Unit: Cores, Kind: Gauge, Fold: Summed, About: Process, Help: "Logical CPUs on which the main thread of the process may run (affinity and cpuset).", Internal: true}
	ProcessListens  = &Metric{Name: "headroom.process.listeners", Unit: Count, Kind: Gauge, Fold: Summed, About: Process, Help: "Listening sockets that the process holds; without eBPF only for processes that have an event loop or use a CPU.", Internal: true}

	// Sockets on which clients or message brokers wait for the process.
	ProcessAccepted  = &Metric{Name: "headroom.process.clients.connections", Unit: Count, Kind: Gauge, Fold: Summed, About: Process, Help: "Established connections of clients, TCP and Unix: those that a listening socket accepted.", Internal: true}
	ProcessDatagrams = &Metric{Name: "headroom.process.clients.datagram_sockets", Unit: Count, Kind: Gauge, Fold: Summed, About: Process, Help: "UDP sockets that serve clients: bound to a port that the process chose, and not connected.", Internal: true}
	ProcessBrokers   = &Metric{Name: "headroom.process.broker.connections", Unit: Count, Kind: Gauge, Fold: Summed, About: Process, Help: "Established TCP connections to the standard port of a message broker (AMQP, Kafka, NATS, MQTT, STOMP, OpenWire, Pulsar, NSQ, beanstalkd, Redis).", Internal: true}

	// Memory and disk, from the kernel's own counts of each process.
	ProcessAnon        = &Metric{Name: "headroom.process.memory.anon", Unit: Bytes, Kind: Gauge, Fold: Summed, About: Process, Help: "Resident anonymous memory of the process (RssAnon): a leak makes it grow.", Series: true, Keep: &Keep{From: 16 << 20}}
	ProcessMemoryPeak  = &Metric{Name: "headroom.process.memory.peak", Unit: Bytes, Kind: Gauge, Fold: Highest, About: Process, Help: "Highest resident memory of the process so far (VmHWM)."}
	ProcessSwap        = &Metric{Name: "headroom.process.memory.swap", Unit: Bytes, Kind: Gauge, Fold: Summed, About: Process, Help: "Memory of the process in swap."}
	ProcessMajorFaults = &Metric{Name: "process.paging.faults", Attr: "process.paging.fault_type=major", Unit: "{fault}", Kind: Counter, About: Process, Help: "Page faults that had to wait for a disk."}
	ProcessDiskRead    = &Metric{Name: "process.disk.io", Attr: "disk.io.direction=read", Unit: Bytes, Kind: Counter, About: Process, Help: "Bytes that the process caused to be read from a disk."}
	ProcessDiskWritten = &Metric{Name: "process.disk.io", Attr: "disk.io.direction=write", Unit: Bytes, Kind: Counter, About: Process, Help: "Bytes that the process caused to be written to a disk, counted when the pages became dirty."}
	ProcessDiskWaiting = &Metric{Name: "headroom.process.disk.waiting", Unit: Count, Kind: Gauge, Fold: Summed, About: Process, Help: "Threads of the process waiting for a disk at the moment of the reading.", Series: true, Internal: true}

	// The limit of the heap: the runtime collects garbage rather than exceed it. The
	// text that it was read from stays in the sampler.
	ProcessHeapLimit        = &Metric{Name: "headroom.process.heap.limit", Attr: "source=configured", Unit: Bytes, Kind: Gauge, Fold: Lowest, About: Process, Help: "Maximum heap size set by a flag or the environment (--max-old-space-size, NODE_OPTIONS, -Xmx, -XX:MaxRAMPercentage, GOMEMLIMIT)."}
	ProcessHeapLimitDefault = &Metric{Name: "headroom.process.heap.limit", Attr: "source=default", Unit: Bytes, Kind: Gauge, Fold: Lowest, About: Process, Help: "Maximum heap size that the runtime chose from the memory that it saw when it started."}

	ProcessOOMKills  = &Metric{Name: "headroom.process.oom_kills", Unit: Count, Kind: Counter, About: Process, Help: "1 for a process that was OOM-killed.", Zeroed: true}
	ProcessOOMMemory = &Metric{Name: "headroom.process.oom.memory", Unit: Bytes, Kind: Gauge, Fold: Summed, About: Process, Help: "Anonymous memory of a process when it was OOM-killed.", Internal: true}
	// OOMLimit pairs a victim with the cgroup whose limit was reached.
	OOMLimit = &Metric{Name: "headroom.process.oom.limit", Unit: Count, Kind: PairCounter, About: Process, Help: "1 for an OOM-killed process; the label names the cgroup whose limit was reached, its own or one above. Absent when the memory of the host ran out.", Zeroed: true, Second: LabelLimit}

	ThreadCPU    = &Metric{Name: "headroom.thread.cpu.time", Unit: Seconds, Kind: Counter, About: Thread, Help: "CPU time of one thread; only of threads that used a CPU.", Series: true}
	ThreadSystem = &Metric{Name: "headroom.thread.cpu.system.time", Unit: Seconds, Kind: Counter, About: Thread, Help: "CPU time of one thread in the kernel (system calls, page faults), as sampled by the kernel's timer tick; only of threads that used a CPU, and only where eBPF can iterate over tasks.", Internal: true}
	// ThreadSampled and ThreadIn are as LoopSampled and LoopIn, of threads that run no loop.
	ThreadSampled  = internal(&Metric{Name: "headroom.thread.sampled.time", Unit: Seconds, Kind: Counter, About: Thread, Help: "CPU time of a busy thread that runs no event loop, by samples of its stack.", Zeroed: true})
	ThreadIn       = internal(&Metric{Name: "headroom.thread.in.time", Unit: Seconds, Kind: PairCounter, About: Thread, Help: "CPU time of a busy thread in one function of the program and in what it calls, by samples of its stack.", Zeroed: true})
	ThreadRunQueue = &Metric{Name: "headroom.thread.run_queue.time", Unit: Seconds, Kind: Counter, About: Thread, Help: "Time that the thread was ready to run and waited for a CPU.", Series: true}
)

var processMetrics = []*Metric{ProcessCPU, ProcessRunQueue, ProcessRuns, ProcessMemory, ProcessThreads, ProcessAge, ProcessAffinity, ProcessListens, ProcessAccepted, ProcessDatagrams, ProcessBrokers, ThreadCPU, ThreadSystem, ThreadSampled, ThreadIn, ThreadRunQueue}

var processMemoryMetrics = []*Metric{ProcessAnon, ProcessMemoryPeak, ProcessSwap, ProcessMajorFaults, ProcessDiskRead, ProcessDiskWritten, ProcessDiskWaiting}

var heapMetrics = []*Metric{ProcessHeapLimit, ProcessHeapLimitDefault}

var oomMetrics = []*Metric{ProcessOOMKills, ProcessOOMMemory, OOMLimit}
