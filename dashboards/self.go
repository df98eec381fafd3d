// SPDX-License-Identifier: Apache-2.0

package dashboards

import (
	"github.com/headroom-project/headroom/agent/export/prom"
	"github.com/headroom-project/headroom/agent/export/self"
	findings "github.com/headroom-project/headroom/analyzers/publish/prom"
)

// The series of client_golang about the agent's own process.
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

// own is a series of the agent itself; ofAgent leaves out those of other
// programs, which have the same names.
func own(name string) string { return name + "{" + ofNode + "}" }

func ofAgent(expr string) string {
	return "(" + expr + ") and on (" + job + ", " + instance + ") " + own(self.BuildInfo)
}

func perSecond(name string) string { return "rate(" + own(name) + "[$__rate_interval])" }

// since is a counter's increase in the last hour: for what should never happen.
func since(name string) string { return "increase(" + own(name) + "[1h])" }

func selfBoard() *dashboard {
	const sampler, probeProgram = "sampler", "{{probe}} {{program}}"
	perSampler, perProbeProgram := by(instance, sampler), by(instance, "probe", "program")
	each := func(series string) query { return query{own(series), nodeName} }
	panels := []*panel{
		stat("Agents", "Nodes whose agent Prometheus reaches.", unitCount, "count("+own(self.BuildInfo)+") or vector(0)").below(1),
		stat("Config refused", "Agents whose last config is not in use: the old one is. Their log says why.", unitCount, "count("+own(self.ConfigSuccessful)+" == 0) or vector(0)").warn(1, 1),
		stat("Samplers not open", "Sources that this kernel or these privileges do not offer. The report names the cure.", unitCount, "count("+own(self.SamplerOpen)+" == 0) or vector(0)").warn(1, 20),
		stat("Samplers that hang", "Readings that are not waited for any more.", unitCount, "sum("+own(self.SamplerHangs)+") or vector(0)").warn(1, 1),
		stat("Names not known", "Agents in Kubernetes that are told nothing of their node's pods, neither by the API server nor by the kubelet.", unitCount, "count("+own(self.KubeUp)+" == 0) or vector(0)").warn(1, 1),
		stat("Events not written", "Events about findings, in the last hour, that Kubernetes refused or that found no room.", unitCount, "round(sum(increase("+self.KubeEvents+"{"+ofNode+","+self.LabelResult+`!="`+self.ResultSent+`"}[1h]))) or vector(0)`).warn(1, 100),
		stat("Past not saved", "Agents that cannot write down what they remember; after a restart they begin anew.", unitCount, "count("+own(self.StorageGood)+" == 0) or vector(0)").warn(1, 1),
		stat("Nodes without judgement", "Agents that judged nothing in the last quarter of an hour.", unitCount, "count(increase("+own(self.Judgements)+"[15m]) == 0) or vector(0)").warn(1, 1),
		graph("Own CPU", "CPU time of the agent in cores: 0.015 is 0.9 seconds a minute. The time of eBPF programs is in the tasks that they interrupt, not in it.", unitCores,
			query{ofAgent(perSecond(processCPU)), nodeName}),
		graph("Own memory", "Resident, and what of it the heap has in use.", unitBytes,
			query{ofAgent(own(processMemory)), "resident " + nodeName}, query{ofAgent(own(goHeap)), "heap " + nodeName}),
		graph("Time of eBPF programs", "CPU time in the kernel, in cores; counted while sysctl kernel.bpf_stats_enabled is 1, which costs some itself.", unitCores,
			query{most(sum(perProbeProgram, perSecond(self.ProgramTime))), probeProgram + " " + nodeName}).stacked(),
		graph("Time of one run", "Of each eBPF program, on average.", unitSeconds,
			query{most(share(sum(perProbeProgram, perSecond(self.ProgramTime)), sum(perProbeProgram, perSecond(self.ProgramRuns)))), probeProgram + " " + nodeName}),
		graph("Runs of eBPF programs", "Events a second that they saw.", unitPerSec,
			query{most(sum(perProbeProgram, perSecond(self.ProgramRuns))), probeProgram + " " + nodeName}),
		graph("Lost in the kernel", "In each hour: what found no room in maps and rings, and runs that did not take place. Culprits without room are told as [other]; of the rest, findings may be missing.", unitCount,
			query{most(since(self.Lost)), "{{probe}}: {{what}} " + nodeName}, query{most(since(self.ProgramSkipped)), probeProgram + " skipped " + nodeName}).whole().symlog(),
		graph("Time that samplers take", "From the beginning to the end of their readings, in seconds a second; they read beside each other, and wait for a CPU too.", unitTime,
			query{most(sum(perSampler, perSecond(self.SamplerTime))), "{{" + sampler + "}} " + nodeName}).stacked(),
		graph("Longest reading", "The last reading of each sampler. One of more than 2 s is not waited for.", unitSeconds,
			query{most(highest(perSampler, own(self.SamplerLast))), "{{" + sampler + "}} " + nodeName}).logarithmic().warn(0.1, 2),
		graph("What should not happen", "In each hour: readings that failed or were not waited for, exports that failed, entities, findings and series that found no room, and times in which the agent or the machine stood still.", unitCount,
			query{most(sum(perSampler, since(self.SamplerFailures))), "failed: {{" + sampler + "}} " + nodeName}, query{most(sum(perSampler, since(self.SamplerLate))), "late: {{" + sampler + "}} " + nodeName},
			query{"sum(" + since(prom.Crowded) + ") or vector(0)", "readings of [other] series"},
			query{"sum(" + since(self.OTLPFailures) + ") or vector(0)", "OTLP exports that failed"},
			query{since(self.Refused), "entities refused " + nodeName}, query{since(self.FindingsRefused), "findings refused " + nodeName}, query{since(self.Standstills), "standstills " + nodeName}).whole().symlog(),
		graph("Gaps", "Things that each source could not observe.", unitCount, query{most(sum(by(instance, "source"), own(findings.Gaps))), "{{source}} " + nodeName}).stacked().whole(),
		graph("Time of a judgement", "All questions asked of one window.", unitSeconds, each(self.LastJudgement)),
		graph("Memory of the past", "What the levels take that trends are told from.", unitBytes, each(self.HistoryBytes)),
		graph("Reach of the past", "Of ten minutes of seconds, six hours of tens of seconds and seven days of minutes: less means that there are too many to remember them for so long.", unitShare, each(self.HistoryReach)),
		graph("What is followed", "Processes, threads, cgroups and others.", unitCount, each(self.Entities)),
		graph("Own descriptors", "In use against the limit.", unitShare, query{share(ofAgent(own(processFDs)), ofAgent(own(processMaxFDs))), nodeName}).warn(0.7, 0.9),
		graph("Goroutines", "A number that only grows is a leak.", unitCount, query{ofAgent(own(goroutines)), nodeName}),
		graph("Pauses of the collector", "Time in which Go's garbage collector stopped the agent, in seconds a second.", unitTime, query{ofAgent(perSecond(goGC)), nodeName}),
	}
	return board("headroom-self", "headroom itself", "What the agent costs, and what it misses.", []variable{chooseNode()}, panels...)
}
