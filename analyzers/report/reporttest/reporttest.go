// SPDX-License-Identifier: Apache-2.0

// Package reporttest has small handmade results, for the tests of packages that
// convert a result to a report.
package reporttest

import (
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

// The analyzers of the results; they have only what a report reads.
var (
	Throttled = &analysis.Analyzer{Name: "cpu-throttled", Category: analysis.CategoryContainers}
	Blocked   = &analysis.Analyzer{Name: "event-loop-blocked", Category: analysis.CategoryEventLoop}
	RunQueue  = &analysis.Analyzer{Name: "run-queue-latency", Category: analysis.CategoryCPU}
	Saturated = &analysis.Analyzer{Name: "host-saturated", Category: analysis.CategoryCapacity}
	Growth    = &analysis.Analyzer{Name: "memory-growth", Category: analysis.CategoryMemory}
	Workers   = &analysis.Analyzer{Name: "worker-count-mismatch", Category: analysis.CategoryContainers}
)

// WindowStart is the start of the window of each result.
var WindowStart = time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)

// Results holds all results by name.
var Results = map[string]func() *analysis.Result{
	"healthy": Healthy, "blind": Blind, "critical": Critical, "running-out": Running, "contained": Contained, "grouped": Grouped,
	"unseen": Unseen, "serving": Serving,
}

const containerID = "3f8a2c1d9e7b4f60815a2c3d4e5f60718293a4b5c6d7e8f9000102030405060a"

// A Host is a small host with the processes of two containers.
type Host struct {
	Index                        *observe.Index
	Node, API, Server, Loop, Hog observe.ID
}

// NewHost returns a host without findings.
func NewHost() Host {
	x := observe.NewIndex(100)
	add := func(k observe.EntityKind, id string, parent observe.Entity, attrs map[string]string) observe.ID {
		e := x.ID(observe.Entity{Kind: k, ID: id})
		x.Describe(e, observe.Info{Parent: parent, Attrs: attrs})
		return e
	}
	h := Host{Index: x}
	h.Node = add(observe.Node, catalog.NodeID, observe.Entity{}, nil)
	h.API = add(observe.Cgroup, "/docker/api", observe.Entity{}, map[string]string{
		catalog.AttrCgroup: "/docker/api", catalog.AttrContainerID: containerID, catalog.AttrContainerName: "api"})
	h.Server = add(observe.Process, "4242:100", x.Entity(h.API), map[string]string{
		catalog.AttrPID: "4242", catalog.AttrExecutable: "node", catalog.AttrCommand: "node server.js", catalog.AttrRuntime: "node"})
	h.Loop = add(observe.Loop, "4242:100/4242/9", x.Entity(h.Server), map[string]string{catalog.AttrTID: "4242"})
	h.Hog = add(observe.Process, "77:90", observe.Entity{}, map[string]string{
		catalog.AttrPID: "77", catalog.AttrExecutable: "burn\x1b[2J", catalog.AttrCommand: "burn\x1b[2J"})
	return h
}

// Result returns a result about h without findings, of 30 seconds.
func (h Host) Result() *analysis.Result {
	w := observe.NewWindow(h.Index)
	w.Start, w.End, w.Seconds = WindowStart, WindowStart.Add(30*time.Second), 30.000000000000004
	return &analysis.Result{Host: observe.Host{Name: "web-7", Kernel: "6.12.1", CPUs: 2, Memory: 25e9}, Window: w}
}

// Healthy is a host without problems.
func Healthy() *analysis.Result {
	r := NewHost().Result()
	r.Checked = []analysis.Checked{{Analyzer: Throttled, Subjects: 3}, {Analyzer: Blocked, Subjects: 12}, {Analyzer: Workers}}
	r.Sight = analysis.Sight{Asked: 3, Questions: 3}
	return r
}

// Serving is a host without problems whose server answers requests: 7,200 in 30 s, of which
// one in fifty took 5 s.
func Serving() *analysis.Result {
	h := NewHost()
	r := h.Result()
	s, d := observe.NewSnapshot(h.Index), observe.NewDiffer(h.Index)
	d.Step(s)
	s.Monotonic = 30 * time.Second
	s.Set(catalog.RequestArrivals, h.Server, 7200)
	s.Set(catalog.RequestActive, h.Server, 12)
	s.Set(catalog.RequestOldest, h.Server, 5.25)
	durations := s.Hist(catalog.RequestDuration, h.Server)
	durations.Count[30], durations.Sum[30] = 7044, 7044*0.0025
	durations.Count[74], durations.Sum[74] = 144, 144*5
	r.Window.Add(d.Step(s))
	r.Window.Seconds = 30
	r.Checked = []analysis.Checked{{Analyzer: Throttled, Subjects: 3}}
	r.Sight = analysis.Sight{Asked: 3, Questions: 3}
	return r
}

// Blind is a host on which eBPF is denied.
func Blind() *analysis.Result {
	r := NewHost().Result()
	missing := []string{catalog.LoopBusy.Key()}
	r.Checked = []analysis.Checked{{Analyzer: Throttled, Subjects: 3}}
	r.Skipped = []analysis.Skip{
		{Analyzer: Blocked, Reason: "nothing was observed to judge by", Missing: missing},
		{Analyzer: RunQueue, Reason: "nothing was observed to judge by", Missing: missing},
		{Analyzer: Workers, Reason: "nothing was observed to judge by", Missing: []string{catalog.CgroupCPULimit.Key()}, NoSubject: true},
	}
	r.Sight = analysis.Sight{Asked: 2, Questions: 4}
	r.Gaps = []observe.Gap{
		{Source: "loop", Reason: "loading eBPF programs is not permitted", Cure: "run as root, or with CAP_BPF and CAP_PERFMON"},
		{Source: "runqueue", Reason: "loading eBPF programs is not permitted", Cure: "run as root, or with CAP_BPF and CAP_PERFMON"},
		{Source: "psi", Reason: "no /proc/pressure", Cure: "boot with psi=1"},
	}
	return r
}

// Running is a host with two services that run out of memory: one forecast has an
// interval, the other was observed for too short a time.
func Running() *analysis.Result {
	h := NewHost()
	r := h.Result()
	sure := &analysis.Finding{
		Analyzer: Growth, Cause: "leak-or-unbounded", Severity: analysis.Warning, Confidence: 0.9, Impact: 0.5, Subject: h.API,
		Summary:  "container api grows by 90 MiB an hour and reaches its memory limit of 512 MiB",
		Forecast: &analysis.Forecast{What: "memory limit", At: 5400, Low: analysis.Bound(4080), High: analysis.Bound(7920)},
	}
	unsure := &analysis.Finding{
		Analyzer: Growth, Cause: "leak-or-unbounded", Severity: analysis.Info, Confidence: 0.4, Impact: 0.1, Subject: h.Server,
		Summary:  "node server.js (pid 4242) grows by 3 MiB an hour",
		Forecast: &analysis.Forecast{What: "memory limit", At: 300000},
	}
	r.Findings = []*analysis.Finding{sure, unsure}
	r.Sight = analysis.Sight{Asked: 4, Questions: 4}
	return r
}

// Contained is a diagnosis from inside a container.
func Contained() *analysis.Result {
	r := Blind()
	r.Sight.Asked = 1
	r.Doubt(observe.Gap{Source: observe.GapView, Reason: "only the processes of one container can be seen", Cure: "run in the host's pid namespace (docker run --pid=host)"})
	return r
}

// Unseen is a host with a server that waits in io_uring, and without event loops in
// several processes.
func Unseen() *analysis.Result {
	r := Healthy()
	r.Skipped = []analysis.Skip{{Analyzer: Workers, Reason: "nothing to check was seen", Missing: []string{catalog.LoopBusy.Key()}}}
	r.Gaps = []observe.Gap{{Source: "loop", Reason: "server (pid 42) waits for its clients in io_uring, which is not observed", Cure: "measure the latency of its requests", Process: "42:1"}}
	r.Sight.Unseen = 1
	return r
}

// Critical is a throttled container whose loop stalls because of it, and a
// neighbour.
func Critical() *analysis.Result {
	h := NewHost()
	r := h.Result()
	root := &analysis.Finding{
		Analyzer: Throttled, Cause: "limit-too-low", Severity: analysis.Critical, Confidence: 0.9, Impact: 0.41, Subject: h.API,
		Summary: "container api was throttled 38% of the window: limit 0.5 cores, wanted about 0.8 cores",
		Evidence: []analysis.Evidence{
			{Metric: catalog.CgroupThrottledS, Label: "share", Value: 0.1 + 0.2, Unit: observe.Ratio, Bound: analysis.Bound(0.05)},
			{Metric: catalog.CgroupThrottled, Value: 114, Unit: observe.Count, Bound: analysis.Bound(0)},
			{Metric: catalog.CgroupCPUTime, Label: "wanted", Value: 0.8, Unit: observe.Cores},
		},
		Recommendations: []analysis.Recommendation{{
			Verb: analysis.RaiseCPULimit, Quantity: &analysis.Estimate{Value: 0.8, Low: analysis.Bound(0.7), High: analysis.Bound(1.1), Unit: "cores"},
			Action: "Raise the CPU limit of api from 0.5 to 0.8 cores", Verify: "the throttled share of container api falls below 1%",
			Risk: "less is left for neighbours", NotIf: "the load is a one-off",
			Expect: []analysis.Expectation{{Metric: catalog.CgroupThrottledS, Label: "share", From: 0.38, To: 0, Unit: observe.Ratio}},
		}},
	}
	symptom := &analysis.Finding{
		Analyzer: Blocked, Cause: "cpu-throttled", Severity: analysis.Warning, Confidence: 0.93, Impact: 0.4, Subject: h.Loop,
		Summary:  "node server.js (pid 4242) was late by up to 412 ms",
		Evidence: []analysis.Evidence{{Metric: catalog.LoopLag, Label: "p99", Value: 0.412, Unit: observe.Seconds, Bound: analysis.Bound(0.05)}},
		Exemplars: []observe.Stall{
			{Start: WindowStart.Add(12*time.Second + 345*time.Millisecond), Duration: 0.412, Parts: observe.Parts{CPU: 0.1, Throttled: 0.31, Blocked: 0.002}},
			{Start: WindowStart.Add(29 * time.Second), Duration: 1, Parts: observe.Parts{Blocked: 1}, Syscall: "futex", InProgress: true},
		},
		SymptomOf: root,
	}
	neighbour := &analysis.Finding{
		Analyzer: RunQueue, Cause: "noisy-neighbour", Severity: analysis.Warning, Confidence: 0.7, Impact: 0.2, Subject: h.Server,
		Summary:  "node server.js (pid 4242) waited for a CPU for 20% of the window",
		Evidence: []analysis.Evidence{{Metric: catalog.ProcessRunQueue, Value: 6, Unit: observe.Seconds}},
		Blame:    []analysis.Blame{{Subject: h.Hog, Share: 0.7}},
		Recommendations: []analysis.Recommendation{{
			Verb: analysis.CapNeighbour, Action: "Limit burn to 1 core", Quantity: &analysis.Estimate{Value: 1, Unit: "cores"},
			Verify: "the wait falls below 5%"}},
	}
	r.Findings = []*analysis.Finding{root, symptom, neighbour}
	r.Checked = []analysis.Checked{{Analyzer: Throttled, Subjects: 3}, {Analyzer: Blocked, Subjects: 12}, {Analyzer: RunQueue, Subjects: 143}, {Analyzer: Saturated, Subjects: 1}}
	r.Sight = analysis.Sight{Asked: 4, Questions: 4}
	return r
}

// Grouped is a service whose three workers have the same problem, and a symptom of
// it.
func Grouped() *analysis.Result {
	h := NewHost()
	r := h.Result()
	var loops []observe.ID
	for _, pid := range []string{"4301", "4302", "4303", "4304"} {
		worker := h.Index.ID(observe.Entity{Kind: observe.Process, ID: pid + ":110"})
		h.Index.Describe(worker, observe.Info{Parent: h.Index.Entity(h.API), Attrs: map[string]string{
			catalog.AttrPID: pid, catalog.AttrExecutable: "node", catalog.AttrCommand: "node worker.js", catalog.AttrRuntime: "node"}})
		loop := h.Index.ID(observe.Entity{Kind: observe.Loop, ID: pid + ":110/" + pid + "/9"})
		h.Index.Describe(loop, observe.Info{Parent: h.Index.Entity(worker), Attrs: map[string]string{catalog.AttrTID: pid}})
		loops = append(loops, loop)
	}
	root := &analysis.Finding{
		Analyzer: RunQueue, Cause: "own-threads", Severity: analysis.Critical, Confidence: 0.9, Impact: 0.3, Subject: h.API, Subjects: loops,
		Summary: "container api (4 processes) waits for a CPU for 60% of its time",
		Recommendations: []analysis.Recommendation{{Verb: analysis.ReduceThreads, Quantity: &analysis.Estimate{Value: 2, Unit: "threads"},
			Action: "Limit container api (4 processes) to 2 threads running at once"}},
	}
	symptom := &analysis.Finding{
		Analyzer: Blocked, Cause: "run-queue", Severity: analysis.Critical, Confidence: 0.8, Impact: 0.3, Subject: loops[2], Subjects: loops, SymptomOf: root,
		Summary: "Requests to 4 × node worker.js (pids 4301, 4302, 4303 and 1 more) wait 412 ms; the worst is node worker.js (pid 4303)",
		Evidence: []analysis.Evidence{{Metric: catalog.LoopLag, Label: "p99", Value: 0.412, Unit: observe.Seconds, Bound: analysis.Bound(0.05),
			Least: analysis.Bound(0.12), Most: analysis.Bound(0.412)}},
	}
	alone := *symptom
	alone.SymptomOf, alone.Cause, alone.Severity = nil, "on-cpu", analysis.Warning
	r.Findings = []*analysis.Finding{root, symptom, &alone}
	r.Sight = analysis.Sight{Asked: 4, Questions: 4}
	return r
}
