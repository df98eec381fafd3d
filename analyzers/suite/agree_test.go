// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"bytes"
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

// disagreements returns contradictions in a report, and expectations that no change can
// meet.
func disagreements(r *analysis.Result) []string {
	var all []string
	for _, check := range []func(*analysis.Result) []string{
		limitsWithTwoNumbers, nodesWithTwoNumbers, nodesBesideIdleCores, emptyPromises, nodesThatDoNotDivide, capsThatCapNothing, boundsOnQuantiles,
		coresThatDoNotExist, numbersBesideTheText,
	} {
		all = append(all, check(r)...)
	}
	return all
}

// advice calls do for each recommendation of a report.
func advice(r *analysis.Result, do func(*analysis.Finding, *analysis.Recommendation)) {
	for _, f := range r.Findings {
		for i := range f.Recommendations {
			do(f, &f.Recommendations[i])
		}
	}
}

// limitsWithTwoNumbers returns limits with two advised values, such as 1.1 and 1.2 cores.
func limitsWithTwoNumbers(r *analysis.Result) (wrong []string) {
	to := make(map[string]string)
	advice(r, func(_ *analysis.Finding, rec *analysis.Recommendation) {
		what, number, ok := strings.Cut(rec.Action, " to ")
		if !ok || rec.Verb != analysis.RaiseCPULimit && rec.Verb != analysis.RaiseMemoryLimit {
			return
		}
		if other := to[what]; other != "" && other != number {
			wrong = append(wrong, fmt.Sprintf("%s to %s, and to %s", what, other, number))
		}
		to[what] = number
	})
	return wrong
}

// cpuNodes lists the findings that advise more nodes because of the CPU.
var cpuNodes = []string{"host-saturated/cpu", "run-queue-latency/host-full", "event-loop-blocked", "event-loop-saturated"}

// forCPU reports whether a recommendation is for more nodes because of the CPU.
func forCPU(f *analysis.Finding, rec *analysis.Recommendation) bool {
	return rec.Verb == analysis.AddNodes && rec.Quantity != nil && !strings.HasPrefix(rec.Action, "Replace ") &&
		(slices.Contains(cpuNodes, f.Analyzer.Name) || slices.Contains(cpuNodes, f.Analyzer.Name+"/"+f.Cause))
}

// nodesWithTwoNumbers returns different numbers of nodes for one full host.
func nodesWithTwoNumbers(r *analysis.Result) (wrong []string) {
	first := ""
	advice(r, func(f *analysis.Finding, rec *analysis.Recommendation) {
		if !forCPU(f, rec) {
			return
		}
		number := strconv.FormatFloat(rec.Quantity.Value, 'g', 3, 64)
		if first != "" && first != number {
			wrong = append(wrong, fmt.Sprintf("%s nodes, and %s: %s", first, number, rec.Action))
		}
		first = number
	})
	return wrong
}

// nodesBesideIdleCores returns advice for more nodes together with advice for another
// number of workers: a host that needs more nodes has no core for another worker, and a
// host on which fewer workers are enough needs no more nodes.
func nodesBesideIdleCores(r *analysis.Result) (wrong []string) {
	var nodes, onThisHost []string
	advice(r, func(f *analysis.Finding, rec *analysis.Recommendation) {
		if f.SymptomOf != nil {
			return
		}
		switch {
		case forCPU(f, rec):
			nodes = append(nodes, rec.Action)
		case rec.Verb == analysis.AddProcesses || rec.Verb == analysis.MoveToWorkerThreads || rec.Verb == analysis.UseMoreCores || rec.Verb == analysis.SetWorkerCount:
			onThisHost = append(onThisHost, rec.Action)
		}
	})
	if len(nodes) > 0 && len(onThisHost) > 0 {
		wrong = append(wrong, fmt.Sprintf("%q beside %q", nodes[0], onThisHost[0]))
	}
	return wrong
}

// emptyPromises returns expectations that change nothing, and times or shares that are
// expected to fall to exactly 0. Counted events (kills, refused connections, growth) can
// fall to 0.
func emptyPromises(r *analysis.Result) (wrong []string) {
	advice(r, func(_ *analysis.Finding, rec *analysis.Recommendation) {
		for _, e := range rec.Expect {
			if (e.Unit == observe.Seconds || e.Unit == observe.Ratio) && e.To == 0 || e.To == e.From && e.From > 0.002 {
				wrong = append(wrong, fmt.Sprintf("%s: expect %s %s from %g to %g", rec.Action, e.Metric.Name, e.Label, e.From, e.To))
			}
		}
	})
	return wrong
}

// nodesThatDoNotDivide returns wrong expectations for more nodes: with n more nodes, each
// has 1/(1+n) of the work.
func nodesThatDoNotDivide(r *analysis.Result) (wrong []string) {
	shared := []*observe.Metric{catalog.CPUIdle, catalog.LoopBusy, catalog.NICSent}
	advice(r, func(_ *analysis.Finding, rec *analysis.Recommendation) {
		for _, e := range rec.Expect {
			if rec.Verb != analysis.AddNodes || rec.Quantity == nil || !slices.Contains(shared, e.Metric) {
				continue
			}
			if want := e.From / (1 + rec.Quantity.Value); math.Abs(want-e.To) > 0.01 {
				wrong = append(wrong, fmt.Sprintf("%s: expect %g to %g, want %g", rec.Action, e.From, e.To, want))
			}
		}
	})
	return wrong
}

var capText = regexp.MustCompile(`^Cap .* at ([0-9.]+) cores?, from ([0-9.]+) cores?`)

// capsThatCapNothing returns caps above 90 % of the current use, which change nothing.
func capsThatCapNothing(r *analysis.Result) (wrong []string) {
	const worthwhile = 0.9
	advice(r, func(_ *analysis.Finding, rec *analysis.Recommendation) {
		m := capText.FindStringSubmatch(rec.Action)
		if m == nil {
			return
		}
		at, _ := strconv.ParseFloat(m[1], 64)
		from, _ := strconv.ParseFloat(m[2], 64)
		if at > worthwhile*from {
			wrong = append(wrong, rec.Action)
		}
	})
	return wrong
}

// texts returns all that a finding says in words.
func texts(f *analysis.Finding) []string {
	all := []string{f.Summary}
	for _, e := range f.Evidence {
		all = append(all, e.Label)
	}
	for _, rec := range f.Recommendations {
		all = append(all, rec.Action, rec.Verify, rec.Risk, rec.NotIf)
	}
	return all
}

// boundsOnQuantiles returns sentences that use a p99 as an upper bound: 1 % of the values
// is above it.
func boundsOnQuantiles(r *analysis.Result) (wrong []string) {
	for _, f := range r.Findings {
		for _, text := range texts(f) {
			for _, sentence := range sentences(text) {
				if strings.Contains(sentence, "p99") && strings.Contains(sentence, "up to") {
					wrong = append(wrong, sentence)
				}
			}
		}
	}
	return wrong
}

// sentences divides a text at colons, semicolons and full stops.
func sentences(text string) []string {
	return strings.FieldsFunc(strings.ReplaceAll(text, ". ", ";"), func(c rune) bool { return c == ':' || c == ';' })
}

var coresText = regexp.MustCompile(`([0-9.]+) cores?\b`)

// coresThatDoNotExist returns texts with more cores than the host has. Such a number is
// waiting time, which several threads spend at once, and not a use of cores.
func coresThatDoNotExist(r *analysis.Result) (wrong []string) {
	for _, f := range r.Findings {
		for _, text := range texts(f) {
			for _, m := range coresText.FindAllStringSubmatch(text, -1) {
				if n, err := strconv.ParseFloat(m[1], 64); err == nil && r.Host.CPUs > 0 && n > float64(r.Host.CPUs) {
					wrong = append(wrong, fmt.Sprintf("%s on a host with %d: %s", m[0], r.Host.CPUs, text))
				}
			}
		}
	}
	return wrong
}

var nodesText = regexp.MustCompile(`^Add (?:about )?([0-9]+) nodes?\b`)

// numbersBesideTheText returns advice for more nodes whose text has another number than
// its quantity.
func numbersBesideTheText(r *analysis.Result) (wrong []string) {
	advice(r, func(_ *analysis.Finding, rec *analysis.Recommendation) {
		if m := nodesText.FindStringSubmatch(rec.Action); m != nil && (rec.Quantity == nil || m[1] != strconv.FormatFloat(rec.Quantity.Value, 'f', 0, 64)) {
			wrong = append(wrong, fmt.Sprintf("%s: quantity %v", rec.Action, rec.Quantity))
		}
	})
	return wrong
}

// TestRecordedReportsAgree runs all analyzers over all recorded cases.
func TestRecordedReportsAgree(t *testing.T) {
	files, err := filepath.Glob("../*/testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d recorded cases: %v", len(files), err)
	}
	for _, file := range files {
		content, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, section := range content.Files {
			if section.Name != "recording" {
				continue
			}
			w, host, err := analysistest.Window(bytes.NewReader(section.Data))
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			for _, wrong := range disagreements(analysis.Run(Analyzers, w, host, analysis.Options{})) {
				t.Errorf("%s: %s", file, wrong)
			}
		}
	}
}

// hosts are situations in which findings of several analyzers meet.
var hosts = map[string]func(*testing.T) *handmade.Host{
	"throttled":            throttled,
	"workers beside nodes": crowdedCluster,
	"full, and full loops": fullCluster,
	"full, and one loop":   fullHostWithLoop,
}

func TestReportsAgree(t *testing.T) {
	for name, host := range hosts {
		t.Run(name, func(t *testing.T) {
			r := host(t).Run(Analyzers...)
			if len(r.Findings) < 2 {
				t.Errorf("%d findings, want several", len(r.Findings))
			}
			for _, f := range r.Findings {
				t.Logf("%s/%s %s, root %t", f.Analyzer.Name, f.Cause, f.Summary, f.SymptomOf == nil)
				for _, rec := range f.Recommendations {
					t.Logf("  %s", rec.Action)
				}
			}
			for _, wrong := range disagreements(r) {
				t.Error(wrong)
			}
		})
	}
}

// throttled returns a host with a loop in a container whose CPU limit is too low.
func throttled(t *testing.T) *handmade.Host {
	h := handmade.New(t, 10, 16)
	box := h.Add(observe.Cgroup, "/box", observe.None, catalog.AttrContainerID, "box", catalog.AttrContainerName, "box")
	h.Set(catalog.CgroupCPULimit, box, 1.1)
	h.Set(catalog.CgroupCPUPeriod, box, 0.1)
	h.Set(catalog.CgroupPeriods, box, 100)
	h.Set(catalog.CgroupThrottled, box, 100)
	h.Set(catalog.CgroupThrottledS, box, 4)
	h.Set(catalog.CgroupCPUTime, box, 6)
	server := h.Process("42", "node", "node server.js", box, catalog.AttrOwner, "container box")
	loop := h.Loop(server)
	h.Set(catalog.ProcessListens, server, 1)
	h.Set(catalog.ThreadCPU, h.Add(observe.Thread, "42:1/42", server), 6)
	h.Ticks(loop, 7, 1.1, observe.Parts{CPU: 4, Throttled: 3.7})
	return h
}

// full returns a host of two busy CPUs on which tasks wait.
func full(t *testing.T) *handmade.Host {
	h := handmade.New(t, 10, 2)
	h.Idle(0)
	h.Set(catalog.HostCPUSome, h.Node(), 9)
	return h
}

// worker adds a process with a loop, given the CPU time of a tick and its wait for a CPU.
func worker(h *handmade.Host, pid string, ticks, run, wait float64) {
	p := h.Process(pid, "node", "node server.js", observe.None, catalog.AttrOwner, "service shop")
	h.Set(catalog.ProcessListens, p, 1)
	h.Set(catalog.ProcessCPU, p, ticks*run)
	h.Set(catalog.ProcessRunQueue, p, ticks*wait)
	h.Set(catalog.ProcessRuns, p, 1000)
	h.Hist(catalog.RunQueueDelay, p, 0.02, 400)
	h.Ticks(h.Loop(p), ticks, run+wait, observe.Parts{CPU: ticks * run, RunQueue: ticks * wait})
}

// crowdedCluster returns a full host with sixteen workers on two CPUs.
func crowdedCluster(t *testing.T) *handmade.Host {
	h := full(t)
	for i := range 16 {
		worker(h, strconv.Itoa(100+i), 20, 0.06, 0.43)
	}
	return h
}

// fullCluster returns a full host with as many full workers as CPUs.
func fullCluster(t *testing.T) *handmade.Host {
	h := full(t)
	worker(h, "100", 100, 0.096, 0.003)
	worker(h, "101", 100, 0.096, 0.003)
	return h
}

// fullHostWithLoop returns a host with a loop that is half busy, and other work that fills
// the host.
func fullHostWithLoop(t *testing.T) *handmade.Host {
	h := full(t)
	worker(h, "100", 20, 0.2, 0.03)
	batch := h.Process("7", "", "cc1", observe.None)
	h.Set(catalog.ProcessCPU, batch, 15)
	return h
}

// TestDisagreementsAreFound checks that each check of texts finds what it is for.
func TestDisagreementsAreFound(t *testing.T) {
	add := func(action string, nodes float64) []analysis.Recommendation {
		return []analysis.Recommendation{{Verb: analysis.AddNodes, Action: action, Quantity: &analysis.Estimate{Value: nodes, Unit: "nodes"}}}
	}
	for _, tt := range []struct {
		wrong bool
		f     analysis.Finding
	}{
		{false, analysis.Finding{Summary: "requests wait up to 20 ms: p99 18 ms"}},
		{true, analysis.Finding{Summary: "requests wait up to 20 ms (p99)"}},
		{true, analysis.Finding{Recommendations: []analysis.Recommendation{{Verify: "the p99 is up to 5 ms"}}}},
		{false, analysis.Finding{Summary: "threads wait 9 s for the 2 cores of the host"}},
		{true, analysis.Finding{Summary: "threads use 9.5 cores"}},
		{true, analysis.Finding{Evidence: []analysis.Evidence{{Label: "of 3 cores"}}}},
		{false, analysis.Finding{Recommendations: add("Add 4 nodes", 4)}},
		{true, analysis.Finding{Recommendations: add("Add 5 nodes", 4)}},
	} {
		tt.f.Analyzer = Analyzers[0]
		r := &analysis.Result{Host: observe.Host{CPUs: 2}, Findings: []*analysis.Finding{&tt.f}}
		if got := disagreements(r); (len(got) > 0) != tt.wrong {
			t.Errorf("disagreements of %+v: %q", tt.f, got)
		}
	}
}
