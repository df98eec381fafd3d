// SPDX-License-Identifier: Apache-2.0

package dashboards

import (
	"github.com/headroom-project/headroom/agent/export/prom"
	"github.com/headroom-project/headroom/agent/export/self"
	findings "github.com/headroom-project/headroom/analyzers/publish/prom"
)

// Series of client_golang about the agent's own process.
const (
	processCPU    = "process_cpu_seconds_total"
	processMemory = "process_resident_memory_bytes"
	processFDs    = "process_open_fds"
	processMaxFDs = "process_max_fds"
	goroutines    = "go_goroutines"
	goHeap        = "go_memstats_heap_inuse_bytes"
	goGC          = "go_gc_duration_seconds_sum"
)

const job = "job"

// own returns a series of the agent itself; ofAgent leaves out those of other
// programs with the same names.
func own(name string) string { return name + "{" + ofNode + "}" }

func ofAgent(expr string) string {
	return "(" + expr + ") and on (" + job + ", " + instance + ") " + own(self.BuildInfo)
}

func perSecond(name string) string { return "rate(" + own(name) + "[$__rate_interval])" }

// since returns a counter's increase in the last hour, for events that should never
// happen.
func since(name string) string { return "increase(" + own(name) + "[1h])" }

func selfBoard() *dashboard {
	const sampler, probeProgram = "sampler", "{{probe}} {{program}}"
	perSampler, perProbeProgram := by(instance, sampler), by(instance, "probe", "program")
	each := func(series string) query { return query{own(series), nodeName} }
	panels := []*panel{
		stat("Agents", "Agents that Prometheus scrapes.", unitCount, "count("+own(self.BuildInfo)+") or vector(0)").below(1),
		stat("Config reload failed", "Agents that rejected their last config and use the one before. The log says why.", unitCount, "count("+own(self.ConfigSuccessful)+" == 0) or vector(0)").warn(1, 1),
		stat("Samplers unavailable", "Samplers that the kernel or the privileges of the agent do not allow. The report names the fix.", unitCount, "count("+own(self.SamplerOpen)+" == 0) or vector(0)").warn(1, 20),
		stat("Samplers hanging", "Samples that exceeded their timeout and have not returned.", unitCount, "sum("+own(self.SamplerHangs)+") or vector(0)").warn(1, 1),
		stat("Pod names unavailable", "Agents in Kubernetes that get the pods of their node neither from the API server nor from the kubelet.", unitCount, "count("+own(self.KubeUp)+" == 0) or vector(0)").warn(1, 1),
		stat("Events failed or dropped", "Kubernetes Events of the last hour that the API server rejected, or that were dropped because the queue was full.", unitCount, "round(sum(increase("+self.KubeEvents+"{"+ofNode+","+self.LabelResult+`!="`+self.ResultSent+`"}[1h]))) or vector(0)`).warn(1, 100),
		stat("State not saved", "Agents that cannot save their state. They lose findings and history with a restart.", unitCount, "count("+own(self.StorageGood)+" == 0) or vector(0)").warn(1, 1),
		stat("Nodes not evaluated", "Agents that completed no evaluation in the last 15 minutes.", unitCount, "count(increase("+own(self.Judgements)+"[15m]) == 0) or vector(0)").warn(1, 1),
		graph("Agent CPU", "CPU time of the agent in cores (0.015 cores are 0.9 seconds per minute). The time of eBPF programs is accounted to the tasks that they interrupt.", unitCores,
			query{ofAgent(perSecond(processCPU)), nodeName}),
		graph("Agent memory", "Resident memory, and the heap in use.", unitBytes,
			query{ofAgent(own(processMemory)), "resident " + nodeName}, query{ofAgent(own(goHeap)), "heap " + nodeName}),
		graph("eBPF CPU", "CPU time of eBPF programs in cores. Counted while sysctl kernel.bpf_stats_enabled is 1, which adds overhead.", unitCores,
			query{most(sum(perProbeProgram, perSecond(self.ProgramTime))), probeProgram + " " + nodeName}).stacked(),
		graph("eBPF time per run", "Average time of one run of each eBPF program.", unitSeconds,
			query{most(share(sum(perProbeProgram, perSecond(self.ProgramTime)), sum(perProbeProgram, perSecond(self.ProgramRuns)))), probeProgram + " " + nodeName}),
		graph("eBPF runs", "Runs per second of each eBPF program.", unitPerSec,
			query{most(sum(perProbeProgram, perSecond(self.ProgramRuns))), probeProgram + " " + nodeName}),
		graph("eBPF data lost", "Events dropped within one hour because a map or a ring buffer was full, and runs that the kernel skipped. Competing programs beyond the limit are counted as [other]; findings about other lost events may be missing.", unitCount,
			query{most(since(self.Lost)), "{{probe}}: {{what}} " + nodeName}, query{most(since(self.ProgramSkipped)), probeProgram + " skipped " + nodeName}).whole().symlog(),
		graph("Sampler time", "Duration of samples in seconds per second. Samplers run concurrently, and the time includes waits for a CPU.", unitTime,
			query{most(sum(perSampler, perSecond(self.SamplerTime))), "{{" + sampler + "}} " + nodeName}).stacked(),
		graph("Sample duration", "Duration of the last sample of each sampler. The timeout is 2 s.", unitSeconds,
			query{most(highest(perSampler, own(self.SamplerLast))), "{{" + sampler + "}} " + nodeName}).logarithmic().warn(0.1, 2),
		graph("Errors and limits", "Within one hour: samples that failed or timed out, failed exports, entities, findings and series beyond their limits, and pauses of the agent or the machine.", unitCount,
			query{most(sum(perSampler, since(self.SamplerFailures))), "failed: {{" + sampler + "}} " + nodeName}, query{most(sum(perSampler, since(self.SamplerLate))), "late: {{" + sampler + "}} " + nodeName},
			query{"sum(" + since(prom.Crowded) + ") or vector(0)", "samples folded into [other]"},
			query{"sum(" + since(self.OTLPFailures) + ") or vector(0)", "OTLP exports failed"},
			query{since(self.Refused), "entities dropped " + nodeName}, query{since(self.FindingsRefused), "findings dropped " + nodeName}, query{since(self.Standstills), "pauses " + nodeName}).whole().symlog(),
		graph("Gaps", "Blind spots by source: what the agent could not observe.", unitCount, query{most(sum(by(instance, "source"), own(findings.Gaps))), "{{source}} " + nodeName}).stacked().whole(),
		graph("Evaluation duration", "Time to run all analyzers over one window.", unitSeconds, each(self.LastJudgement)),
		graph("History size", "Memory of the history that trends are calculated from.", unitBytes, each(self.HistoryBytes)),
		graph("History retention", "Share of the full retention: 10 minutes at 1 s, 6 hours at 10 s and 7 days at 1 min. Below 100% there are too many series to keep them that long.", unitShare, each(self.HistoryReach)),
		graph("Entities observed", "Processes, threads, cgroups and other entities.", unitCount, each(self.Entities)),
		graph("Agent file descriptors", "Open file descriptors divided by the soft limit.", unitShare, query{share(ofAgent(own(processFDs)), ofAgent(own(processMaxFDs))), nodeName}).warn(0.7, 0.9),
		graph("Goroutines", "Number of goroutines. A number that only grows is a leak.", unitCount, query{ofAgent(own(goroutines)), nodeName}),
		graph("Go GC pauses", "Time in which the Go garbage collector stopped the agent, in seconds per second.", unitTime, query{ofAgent(perSecond(goGC)), nodeName}),
		graph("HTTP connections", "Open connections of HTTP clients, and connections refused or closed within one hour because the limit of connections was reached.", unitCount,
			each(self.HTTPConnections), query{since(self.HTTPRefused), "refused " + nodeName}, query{since(self.HTTPEvicted), "closed " + nodeName}).whole(),
		graph("HTTP requests not answered", "Within one hour: HTTP requests that the agent rejected, and answers that it did not send completely, by reason.", unitCount,
			query{most(since(self.HTTPRejected)), "rejected: {{reason}} " + nodeName}, query{most(since(self.HTTPUnsent)), "not sent: {{reason}} " + nodeName}).whole().symlog(),
		graph("HTTP answer memory", "Memory of rendered HTTP answers.", unitBytes, each(self.HTTPAnswerBytes)),
	}
	return board("headroom-self", "Agent", "Resource usage, blind spots and errors of the agent.", []variable{chooseNode()}, panels...)
}
