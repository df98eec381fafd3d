// SPDX-License-Identifier: Apache-2.0

package dashboards

import . "github.com/headroom-project/headroom/agent/catalog" //nolint:staticcheck // queries read as a table

func serviceBoard() *dashboard {
	long := func(m metric, cause string) query { return query{sum("", rate(m, ofService)), cause} }
	return board("headroom-service", "Service", "One service: event loop lag and its causes, CPU, threads, memory and file descriptors.", chooseProgram(),
		graph("Event loop lag", "Time that events waited for the event loop, at the 50th and 99th percentile.", unitSeconds,
			query{most(quantile("0.99", LoopLag, perProgram, ofService)), "p99 " + name},
			query{most(quantile("0.5", LoopLag, perProgram, ofService)), "p50 " + name}).logarithmic().warn(0.05, 0.2).about("event-loop-blocked"),
		graph("Event loop utilization", "Share of time in which the event loop was in a tick and could not handle another event. Above 70%, waiting times grow quickly.", unitShare,
			query{most(loopShare(ofService)), name}).warn(0.7, 0.9).about("event-loop-saturated"),
		graph("Causes of long ticks", "Time in ticks longer than 20 ms by cause, in seconds per second. A tick is counted when it ends.", unitTime,
			long(LongCPU, "on CPU"), long(LongRunQueue, "run queue"), long(LongThrottled, "throttled"), long(LongBlocked, "blocking system call"), long(LongPageFault, "page fault")).stacked(),
		graph("Blocking system calls", "Time in long ticks by the system call that blocked, in seconds per second.", unitTime,
			query{most(sum(by(call), rate(LongBlockedBy, ofService))), "{{" + call + "}}"}).stacked(),
		graph("CPU usage", "CPU time of all processes, in cores.", unitCores, query{most(sum(perProgram, rate(ProcessCPU, ofService))), name}).about("single-thread-bound"),
		graph("Run queue time", "Time that runnable threads waited for a CPU, in seconds per second. Throttled time is included.", unitTime,
			query{most(sum(perProgram, rate(ProcessRunQueue, ofService))), name}).about("run-queue-latency"),
		graph("Run queue latency", "99th percentile of the waits for a CPU of 1 ms or more.", unitSeconds,
			query{most(quantile("0.99", RunQueueDelay, perProgram, ofService)), "p99 " + name}).logarithmic().warn(0.02, 0.1),
		graph("Run queue time by competing program", "Time that this service waited for a CPU while another program used it, in seconds per second.", unitTime,
			query{most(sum(by(culprit), rate(WaitedFor, ofService))), "{{" + culprit + "}}"}).stacked(),
		graph("Threads", "Number of threads of all processes.", unitCount, query{most(sum(perProgram, sel(ProcessThreads, ofService))), name}).about("worker-count-mismatch"),
		graph("Memory", "Resident memory, and its anonymous part, which grows when memory leaks.", unitBytes,
			query{most(sum(perProgram, sel(ProcessMemory, ofService))), "resident " + name},
			query{most(sum(perProgram, sel(ProcessAnon, ofService))), "anonymous " + name}).about("memory-growth"),
		graph("Heap limit", "Lowest heap limit among the processes: set by a flag or the environment, or the default of the runtime.", unitBytes,
			query{most(lowest(perProgram, sel(ProcessHeapLimit, ofService))), "set " + name}, query{most(lowest(perProgram, sel(ProcessHeapLimitDefault, ofService))), "default " + name}).about("heap-limit-mismatch"),
		graph("Major page faults", "Page faults per second that read from disk.", unitFaults, query{most(sum(perProgram, rate(ProcessMajorFaults, ofService))), name}),
		graph("File descriptor utilization", "Highest number of open file descriptors divided by the lowest soft limit among the processes of the program.", unitShare,
			query{most(share(highest(perProgram, sel(ProcessFDs, ofService)), lowest(perProgram, sel(ProcessFDLimit, ofService)))), name}).warn(0.7, 0.9).about("fd-exhaustion"),
		graph("Disk throughput", "Bytes per second read from and written to disks.", unitRate,
			query{most(sum(perProgram, rate(ProcessDiskRead, ofService))), "read " + name}, query{most(sum(perProgram, rate(ProcessDiskWritten, ofService))), "written " + name}),
	)
}
