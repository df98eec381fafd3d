// SPDX-License-Identifier: Apache-2.0

// Package self exports metrics of the agent itself to Prometheus: the cost and
// the losses of its samplers, eBPF programs and evaluations. CPU time and memory
// of its process are client_golang's own series.
package self

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/headroom-project/headroom/agent/run"
	"github.com/headroom-project/headroom/agent/serve"
)

// State holds the figures of the agent at one moment.
type State struct {
	Samplers []run.Stats
	Memory   Memory
	Probes   []Probe
	// Entities are tracked; Refused entities and Crowded findings were dropped
	// because a limit was reached.
	Entities, Refused, Crowded int
	// Judgements counts windows that were evaluated; LastJudgement is how long the
	// last one took.
	Judgements    int
	LastJudgement time.Duration
	Standstills   int
	ConfigGood    bool
	Version       string
	HTTP          serve.Stats
}

// A Memory holds the memory budget, in bytes, and what is left out to keep it.
type Memory struct {
	// Limit is the soft limit of the Go runtime now, Most what config, environment and
	// cgroup allow, Live what the last collection left.
	Limit, Most, Live int64
	// Collecting is the CPU time in seconds that all collections took.
	Collecting         float64
	Processes, LeftOut int
	Threads            bool
}

// A Probe is one collection of eBPF programs.
type Probe struct {
	Name     string
	Programs []Program
	Losses   map[string]uint64 // by the kind of item that was dropped
}

// A Program holds the cost of an eBPF program since it was loaded. Runs and Time
// are 0 while the kernel does not count them (kernel.bpf_stats_enabled).
type Program struct {
	Name          string
	Time          time.Duration
	Runs, Skipped uint64
}

// The series, by name.
const (
	SamplerOpen       = "headroom_sampler_open"
	SamplerTime       = "headroom_sampler_duration_seconds_total"
	SamplerLast       = "headroom_sampler_last_duration_seconds"
	SamplerReads      = "headroom_sampler_reads_total"
	SamplerFailures   = "headroom_sampler_failures_total"
	SamplerLate       = "headroom_sampler_late_total"
	SamplerHangs      = "headroom_sampler_hanging"
	ProgramTime       = "headroom_bpf_program_run_seconds_total"
	ProgramRuns       = "headroom_bpf_program_runs_total"
	ProgramSkipped    = "headroom_bpf_program_skipped_total"
	Lost              = "headroom_bpf_lost_total"
	Entities          = "headroom_index_entities"
	Refused           = "headroom_index_refused_total"
	MemoryLimit       = "headroom_memory_limit_bytes"
	MemoryBound       = "headroom_memory_bound_bytes"
	MemoryLive        = "headroom_memory_live_bytes"
	Collecting        = "headroom_memory_gc_cpu_seconds_total"
	Followed          = "headroom_processes_followed"
	LeftOut           = "headroom_processes_left_out"
	ThreadsFollowed   = "headroom_threads_followed"
	Judgements        = "headroom_judgements_total"
	LastJudgement     = "headroom_judgement_last_duration_seconds"
	Standstills       = "headroom_standstills_total"
	FindingsRefused   = "headroom_findings_refused_total"
	ConfigSuccessful  = "headroom_config_last_reload_successful"
	BuildInfo         = "headroom_build_info"
	HTTPConnections   = "headroom_http_connections"
	HTTPRefused       = "headroom_http_connections_refused_total"
	HTTPEvicted       = "headroom_http_connections_evicted_total"
	HTTPRejected      = "headroom_http_requests_rejected_total"
	HTTPUnsent        = "headroom_http_answers_unsent_total"
	HTTPAnswerBytes   = "headroom_http_answer_bytes"
	HTTPUnlogged      = "headroom_http_log_lines_suppressed_total"
	labelReason       = "reason"
	labelSampler      = "sampler"
	labelProbe        = "probe"
	labelProgram      = "program"
	labelWhat         = "what"
	labelBuildVersion = "version"
)

// The series of optional parts of the agent: history, Kubernetes and OTLP.
const (
	HistoryBytes = "headroom_history_size_bytes"
	HistoryReach = "headroom_history_reach_ratio"
	StorageGood  = "headroom_storage_last_save_successful"
	KubeUp       = "headroom_kube_up"
	KubeEvents   = "headroom_kube_events_total"
	LabelResult  = "result" // of KubeEvents
	OTLPFailures = "headroom_otlp_failures_total"
	ResultSent   = "sent"
)

// A Series has a name, a HELP text and labels.
type Series struct {
	Name, Help string
	Labels     []string
}

var (
	bySampler = []string{labelSampler}
	byProgram = []string{labelProbe, labelProgram}
	byReason  = []string{labelReason}
)

// All are the series of every agent.
var All = []Series{
	{SamplerOpen, "1 if the sampler could be opened, 0 if not.", bySampler},
	{SamplerTime, "Total time that the readings of the sampler took, in seconds.", bySampler},
	{SamplerLast, "Time that the last reading of the sampler took, in seconds.", bySampler},
	{SamplerReads, "Number of readings of the sampler that finished.", bySampler},
	{SamplerFailures, "Number of readings of the sampler that failed.", bySampler},
	{SamplerLate, "Number of readings that did not finish before the deadline and were left running.", bySampler},
	{SamplerHangs, "1 while a reading that missed its deadline is still running, 0 otherwise.", bySampler},
	{ProgramTime, "CPU time used by the eBPF program since it was loaded, in seconds. Absent unless the kernel counts it (sysctl kernel.bpf_stats_enabled=1).", byProgram},
	{ProgramRuns, "Number of runs of the eBPF program. Absent unless the kernel counts them (sysctl kernel.bpf_stats_enabled=1).", byProgram},
	{ProgramSkipped, "Number of times that the kernel skipped the eBPF program because it was already running on that CPU.", byProgram},
	{Lost, "Number of items that an eBPF probe dropped because a map or ring buffer was full. The label what names the kind of item.", []string{labelProbe, labelWhat}},
	{Entities, "Number of entities that are tracked: processes, threads, cgroups, sockets, devices.", nil},
	{Refused, "Number of entities that were not tracked because the limit was reached.", nil},
	{MemoryLimit, "Soft memory limit of the Go runtime, in bytes. The agent adjusts it to the memory in use.", nil},
	{MemoryBound, "Upper bound of the soft memory limit, in bytes: the setting memory, or less if the cgroup of the agent has a lower limit.", nil},
	{MemoryLive, "Heap memory in use after the last garbage collection, in bytes.", nil},
	{Collecting, "CPU time used by garbage collection, in seconds.", nil},
	{Followed, "Number of processes that are tracked individually.", nil},
	{LeftOut, "Number of processes that are not tracked individually because the memory budget is used up. The least active ones are left out.", nil},
	{ThreadsFollowed, "1 while threads are tracked individually, 0 while they are not because the memory budget is used up.", nil},
	{Judgements, "Number of windows that the analyzers evaluated.", nil},
	{LastJudgement, "Time that the last evaluation took, in seconds.", nil},
	{Standstills, "Number of pauses in which nothing was observed because the agent or the machine was stopped.", nil},
	{FindingsRefused, "Number of findings that were dropped because the limit was reached.", nil},
	{ConfigSuccessful, "1 if the configuration that was read last is in use, 0 if it was rejected and the previous one is in use.", nil},
	{BuildInfo, "Always 1. The label version is the version of the agent.", []string{labelBuildVersion}},
	{HTTPConnections, "Number of open connections of HTTP clients.", nil},
	{HTTPRefused, "Number of connections that were refused because the limit of connections was reached.", nil},
	{HTTPEvicted, "Number of connections that were closed to accept another one because the limit of connections was reached.", nil},
	{HTTPRejected, "Number of HTTP requests that were rejected before they were served. The label reason is busy (too many at a time), memory (of answers is used up), password (too many wrong ones), host (not a name of this machine) or malformed.", byReason},
	{HTTPUnsent, "Number of HTTP answers that were not sent completely. The label reason is timeout (the client did not read) or cut (the place or the memory was needed for other clients).", byReason},
	{HTTPAnswerBytes, "Memory used by rendered HTTP answers, in bytes.", nil},
	{HTTPUnlogged, "Number of log lines about HTTP clients that were suppressed because there were too many of the same kind.", nil},
}

var descriptions = describe()

func describe() map[string]*prometheus.Desc {
	all := make(map[string]*prometheus.Desc)
	for _, s := range All {
		all[s.Name] = prometheus.NewDesc(s.Name, s.Help, s.Labels, nil)
	}
	return all
}

type collector struct{ source func() State }

// NewCollector returns a collector that calls source at each scrape.
func NewCollector(source func() State) prometheus.Collector { return collector{source} }

// Describe implements prometheus.Collector.
func (collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range descriptions {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	s := c.source()
	count := func(name string, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(descriptions[name], prometheus.CounterValue, v, labels...)
	}
	gauge := func(name string, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(descriptions[name], prometheus.GaugeValue, v, labels...)
	}
	for _, r := range s.Samplers {
		gauge(SamplerOpen, Bool(r.Open), r.Name)
		count(SamplerTime, r.Took.Seconds(), r.Name)
		gauge(SamplerLast, r.Last.Seconds(), r.Name)
		count(SamplerReads, float64(r.Reads), r.Name)
		count(SamplerFailures, float64(r.Failures), r.Name)
		count(SamplerLate, float64(r.Late), r.Name)
		gauge(SamplerHangs, Bool(r.Hangs), r.Name)
	}
	for _, p := range s.Probes {
		for _, g := range p.Programs {
			if g.Runs > 0 {
				count(ProgramTime, g.Time.Seconds(), p.Name, g.Name)
				count(ProgramRuns, float64(g.Runs), p.Name, g.Name)
			}
			count(ProgramSkipped, float64(g.Skipped), p.Name, g.Name)
		}
		for what, n := range p.Losses {
			count(Lost, float64(n), p.Name, what)
		}
	}
	gauge(Entities, float64(s.Entities))
	count(Refused, float64(s.Refused))
	m := s.Memory
	gauge(MemoryLimit, float64(m.Limit))
	gauge(MemoryBound, float64(m.Most))
	gauge(MemoryLive, float64(m.Live))
	count(Collecting, m.Collecting)
	gauge(Followed, float64(m.Processes))
	gauge(LeftOut, float64(m.LeftOut))
	gauge(ThreadsFollowed, Bool(m.Threads))
	count(Judgements, float64(s.Judgements))
	gauge(LastJudgement, s.LastJudgement.Seconds())
	count(Standstills, float64(s.Standstills))
	count(FindingsRefused, float64(s.Crowded))
	gauge(ConfigSuccessful, Bool(s.ConfigGood))
	gauge(BuildInfo, 1, s.Version)
	gauge(HTTPConnections, float64(s.HTTP.Connections))
	count(HTTPRefused, float64(s.HTTP.Refused))
	count(HTTPEvicted, float64(s.HTTP.Evicted))
	for reason, n := range s.HTTP.Rejected {
		count(HTTPRejected, float64(n), reason)
	}
	count(HTTPUnsent, float64(s.HTTP.TimedOut), "timeout")
	count(HTTPUnsent, float64(s.HTTP.Cut), "cut")
	gauge(HTTPAnswerBytes, float64(s.HTTP.AnswerBytes))
	count(HTTPUnlogged, float64(s.HTTP.Suppressed))
}

// Bool returns the value of a series that says whether b holds: 1 or 0.
func Bool(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
