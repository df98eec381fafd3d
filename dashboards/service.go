// SPDX-License-Identifier: Apache-2.0

package dashboards

import . "github.com/headroom-project/headroom/agent/catalog" //nolint:staticcheck // queries read as a table

func serviceBoard() *dashboard {
	long := func(m metric, cause string) query { return query{sum("", rate(m, ofService)), cause} }
	return board("headroom-service", "Service", "One service: how late its event loops are and why, threads, memory, descriptors.", chooseProgram(),
		graph("Event loop lag", "For how long an event waited for the loop: the time in which 99 of 100 were served.", unitSeconds,
			query{most(quantile("0.99", LoopLag, perProgram, ofService)), "p99 " + name},
			query{most(quantile("0.5", LoopLag, perProgram, ofService)), "p50 " + name}).logarithmic().warn(0.05, 0.2).about("event-loop-blocked"),
		graph("Event loop utilisation", "Share of the time in which the loop worked and could take nothing else. Above 0.7 its queue grows quickly.", unitShare,
			query{most(loopShare(ofService)), name}).warn(0.7, 0.9).about("event-loop-saturated"),
		graph("Causes of long ticks", "Where the time of ticks of more than 20 ms went, in seconds a second. A tick counts when it ends.", unitTime,
			long(LongCPU, "on a CPU"), long(LongRunQueue, "waiting for a CPU"), long(LongThrottled, "throttled"), long(LongBlocked, "blocked in a call"), long(LongPageFault, "waiting for a page")).stacked(),
		graph("Calls that block the loop", "Time in long ticks by the system call that blocked, in seconds a second.", unitTime,
			query{most(sum(by(call), rate(LongBlockedBy, ofService))), "{{" + call + "}}"}).stacked(),
		graph("CPU", "CPU time of all processes, in cores.", unitCores, query{most(sum(perProgram, rate(ProcessCPU, ofService))), name}).about("single-thread-bound"),
		graph("Waiting for a CPU", "Time that threads were ready and had no CPU, in seconds a second; throttling is part of it.", unitTime,
			query{most(sum(perProgram, rate(ProcessRunQueue, ofService))), name}).about("run-queue-latency"),
		graph("Delays before running", "Of delays of a millisecond or more, the one that 99 of 100 stay below.", unitSeconds,
			query{most(quantile("0.99", RunQueueDelay, perProgram, ofService)), "p99 " + name}).logarithmic().warn(0.02, 0.1),
		graph("Who had the CPU meanwhile", "Time that this service waited while another ran, in seconds a second.", unitTime,
			query{most(sum(by(culprit), rate(WaitedFor, ofService))), "{{" + culprit + "}}"}).stacked(),
		graph("Threads", "Threads of all processes.", unitCount, query{most(sum(perProgram, sel(ProcessThreads, ofService))), name}).about("worker-count-mismatch"),
		graph("Memory", "Resident memory, and the part that no file backs: what a leak makes grow.", unitBytes,
			query{most(sum(perProgram, sel(ProcessMemory, ofService))), "resident " + name},
			query{most(sum(perProgram, sel(ProcessAnon, ofService))), "anonymous " + name}).about("memory-growth"),
		graph("Heap ceiling", "The least ceiling of a heap among its processes, given by a flag or the runtime's own.", unitBytes,
			query{most(lowest(perProgram, sel(ProcessHeapLimit, ofService))), "given " + name}, query{most(lowest(perProgram, sel(ProcessHeapLimitDefault, ofService))), "default " + name}).about("heap-limit-mismatch"),
		graph("Major page faults", "Faults that waited for a disk, a second.", unitFaults, query{most(sum(perProgram, rate(ProcessMajorFaults, ofService))), name}),
		graph("Descriptors of the fullest process", "Descriptors in use against the soft limit: the most and the least of the processes of that name.", unitShare,
			query{most(share(highest(perProgram, sel(ProcessFDs, ofService)), lowest(perProgram, sel(ProcessFDLimit, ofService)))), name}).warn(0.7, 0.9).about("fd-exhaustion"),
		graph("Disk", "Bytes read from and written to disks.", unitRate,
			query{most(sum(perProgram, rate(ProcessDiskRead, ofService))), "read " + name}, query{most(sum(perProgram, rate(ProcessDiskWritten, ofService))), "written " + name}),
	)
}
