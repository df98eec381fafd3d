// SPDX-License-Identifier: Apache-2.0

package main

// A question is one that headroom exists to answer.
type question struct {
	ID    string `json:"id"`
	Row   int    `json:"row"`
	Title string `json:"title"`
}

// contract is every id that a report may carry, by row of docs/analyzers.md.
// Those without an analyzer are what the product cannot do yet, and says so.
var contract = []question{
	{"event-loop-blocked", 1, "what keeps requests of an event loop waiting"},
	{"event-loop-saturated", 1, "whether an event loop has more to do than one core can"},
	{"thread-pool-exhausted", 1, "whether work waits for a thread of a pool"},
	{"single-thread-bound", 2, "whether one thread is the limit while cores idle"},
	{"run-queue-latency", 2, "who waits for a CPU, and for whom"},
	{"host-saturated", 3, "whether the host has any CPU or memory left"},
	{"disk-saturated", 3, "whether a disk is at its limit"},
	{"nic-saturated", 3, "whether a network card is at its limit"},
	{"gpu-saturated", 3, "whether a GPU is at its limit"},
	{"gpu-starved", 3, "whether a GPU waits for the host"},
	{"scaling-limit", 3, "how far more of the same helps"},
	{"queue-backlog", 4, "why a queue grows, and how many workers it takes"},
	{"cpu-throttled", 5, "whether a CPU limit stops a service"},
	{"memory-limit-pressure", 5, "whether a memory limit slows a service"},
	{"oom-killed", 5, "what was killed for memory, and why"},
	{"heap-limit-mismatch", 5, "whether a heap's ceiling fits the memory limit"},
	{"worker-count-mismatch", 5, "whether the number of workers fits the CPU limit"},
	{"right-size", 5, "what a container should request"},
	{"load-imbalance", 6, "whether one worker gets too much of the load"},
	{"cacheable-reads", 7, "how much of a database's reads a cache would save"},
	{"n-plus-one", 7, "whether a request repeats a query"},
	{"page-cache-thrash", 7, "whether files are read again and again for want of memory"},
	{"slow-upstream", 7, "which upstream a service waits for"},
	{"memory-growth", 8, "when memory runs out"},
	{"gc-pressure", 8, "what garbage collection costs"},
	{"fd-exhaustion", 9, "when file descriptors run out"},
	{"accept-queue-overflow", 9, "whether connections are refused before anybody accepts them"},
	{"close-wait-leak", 9, "whether connections are never closed"},
	{"port-exhaustion", 9, "when local ports run out"},
	{"conntrack-exhaustion", 9, "when the connection table is full"},
}

// planned are the questions without an analyzer.
func planned() []question {
	missing := []question{}
	for _, q := range contract {
		if analyzerByName(q.ID) == nil {
			missing = append(missing, q)
		}
	}
	return missing
}
