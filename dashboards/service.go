// SPDX-License-Identifier: Apache-2.0

package dashboards

import . "github.com/headroom-project/headroom/agent/catalog" //nolint:staticcheck // queries read as a table

func serviceBoard() *dashboard {
	long := func(m metric, cause string) query { return query{sum("", rate(m, ofService)), cause} }
	perUpstream := by(instance, namespace, pod, container, service, program, address)
	calls := name + " to {{" + address + "}}"
	return board("headroom-service", "Service", "One service: event loop lag and its causes, CPU, threads, memory and file descriptors.", chooseProgram(),
		graph("Event loop lag", "Time that events waited for the event loop, at the 50th and 99th percentile.", unitSeconds,
			query{most(quantile("0.99", LoopLag, perProgram, ofService)), "p99 " + name},
			query{most(quantile("0.5", LoopLag, perProgram, ofService)), "p50 " + name}).logarithmic().warn(0.05, 0.2).about("event-loop-blocked"),
		graph("Event loop utilization", "Share of time in which the event loop was in a tick and could not handle another event. Above 70%, waiting times grow quickly.", unitShare,
			query{most(loopShare(ofService)), name}).warn(0.7, 0.9).about("event-loop-saturated", "load-imbalance"),
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
		graph("Request rate", "Requests that arrived per second, on TCP connections that the program serves. Encrypted connections and HTTP/2 are not counted.", unitRequests,
			query{most(sum(perProgram, rate(RequestArrivals, ofService))), name}),
		graph("Request duration", "Time from the first byte of a request to the first byte of its answer, at the 50th and 99th percentile.", unitSeconds,
			query{most(quantile("0.99", RequestDuration, perProgram, ofService)), "p99 " + name},
			query{most(quantile("0.5", RequestDuration, perProgram, ofService)), "p50 " + name}).logarithmic(),
		graph("Requests in flight", "Requests without an answer yet.", unitCount, query{most(sum(perProgram, sel(RequestActive, ofService))), name}),
		graph("Oldest request", "Age of the oldest request without an answer.", unitSeconds, query{most(highest(perProgram, sel(RequestOldest, ofService))), name}).about("requests-waiting", "lock-contention"),
		graph("Redis keys read and written", "Keys that commands of clients read and write per second.", unitKeys,
			query{most(sum(perProgram, rate(RedisReads, ofService))), "read " + name}, query{most(sum(perProgram, rate(RedisWrites, ofService))), "written " + name}),
		graph("Redis keys that a cache must hold", "Keys that a cache that evicts the least recently used key must hold for 80, 90 and 95% of the hits that are reachable, in the last 30 to 60 minutes.", unitCount,
			query{most(sum(perProgram, sel(RedisKeys80, ofService))), "80% " + name}, query{most(sum(perProgram, sel(RedisKeys90, ofService))), "90% " + name},
			query{most(sum(perProgram, sel(RedisKeys95, ofService))), "95% " + name}).logarithmic(),
		graph("Redis hit ratio", "Share of reads whose key Redis has, as it counts them itself.", unitShare,
			query{most(hitShare(ofService)), name}),
		graph("Redis evictions", "Keys per second that Redis dropped because its memory limit was reached.", unitKeys,
			query{most(sum(perProgram, rate(RedisEvicted, ofService))), name}).about("cache-too-small"),
		graph("Redis memory", "Memory of Redis that counts towards its limit, and the limit (maxmemory).", unitBytes,
			query{most(highest(perProgram, sel(RedisMemory, ofService))), "used " + name}, query{most(lowest(perProgram, sel(RedisLimit, ofService))), "limit " + name}),
		graph("Redis hit ratio that is reachable", "Share of reads whose key was accessed before: the highest hit ratio of any cache.", unitShare,
			query{most(lowest(perProgram, sel(RedisReachable, ofService))), name}),
		graph("Database call duration", "Time from a call to PostgreSQL or Redis to the arrival of its answer, at the 50th and 99th percentile.", unitSeconds,
			query{most(quantile("0.99", CallDuration, perUpstream, ofService)), "p99 " + calls},
			query{most(quantile("0.5", CallDuration, perUpstream, ofService)), "p50 " + calls}).logarithmic().about("slow-upstream", "n-plus-one", "cacheable-reads"),
		graph("Time with a database call in flight", "Share of time with at least one call to PostgreSQL or Redis without an answer. Where there are several processes: added up.", unitTime,
			query{most(sum(perUpstream, rate(CallBusy, ofService))), calls}),
		graph("Database connections", "Connections to PostgreSQL or Redis, and the mean number of them in use.", unitCount,
			query{most(sum(perUpstream, sel(ClientConnections, ofService))), "held " + calls},
			query{most(sum(perUpstream, rate(ClientUsedTime, ofService))), "in use " + calls}).about("pool-exhausted"),
		graph("Thread pool of libuv", "Threads of the pool that work, and pieces of work that wait for one: calls of fs, dns.lookup, crypto, zlib and addons.", unitCount,
			query{most(sum(perProgram, sel(PoolThreads, ofService))), "threads " + name},
			query{most(sum(perProgram, sel(PoolActive, ofService))), "working " + name},
			query{most(sum(perProgram, sel(PoolWaiting, ofService))), "waiting " + name}).about("thread-pool-exhausted"),
	)
}

// hitShare is the hit ratio of a Redis.
func hitShare(match string) string {
	hits := sum(perProgram, rate(RedisHits, match))
	return share(hits, "("+hits+" + "+sum(perProgram, rate(RedisMisses, match))+")")
}
