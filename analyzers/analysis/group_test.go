// SPDX-License-Identifier: Apache-2.0

package analysis_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

// service adds n workers of a master process, and returns their loops.
func service(h *handmade.Host, first, n int, program, owner string) (loops []observe.ID) {
	for i := range n {
		worker := h.Process(fmt.Sprint(first+i), "node", program, observe.None, catalog.AttrOwner, owner)
		loops = append(loops, h.Loop(worker))
	}
	return loops
}

// late returns a finding, worded as analyzers do, about a loop with this lag.
func late(p *analysis.Pass, loop observe.ID, cause string, seconds float64) analysis.Finding {
	return analysis.Finding{Cause: cause, Severity: analysis.Warning, Impact: seconds, Confidence: 1, Subject: loop,
		Summary:  "Requests to " + p.Name(loop) + " wait " + analysis.Seconds(seconds),
		Evidence: []analysis.Evidence{{Metric: catalog.LoopLag, Label: "p99", Value: seconds, Unit: observe.Seconds}},
		Recommendations: []analysis.Recommendation{{Verb: analysis.MoveToWorkerThreads, Quantity: &analysis.Estimate{Value: 1 + 10*seconds, Unit: "threads"},
			Action: fmt.Sprintf("Move the work of %s to %g threads", p.Name(loop), 1+10*seconds)}}}
}

var verbs = []analysis.Verb{analysis.MoveToWorkerThreads}

// TestOneProblemIsOneFinding checks that sixteen workers of one service with the
// same problem are one finding.
func TestOneProblemIsOneFinding(t *testing.T) {
	h := handmade.New(t, 10, 2)
	workers := service(h, 101, 16, "node worker.js", "100:1")
	a := &analysis.Analyzer{Name: "test", Causes: []string{"on-cpu"}, Verbs: verbs, Run: func(p *analysis.Pass) []analysis.Finding {
		var fs []analysis.Finding
		for i, w := range workers {
			f := late(p, w, "on-cpu", 0.1+float64(i)/100)
			if i == 7 {
				f.Severity = analysis.Critical
			}
			fs = append(fs, f)
		}
		return fs
	}}
	r := h.Run(a)
	if len(r.Findings) != 1 {
		t.Fatalf("%d findings, want one", len(r.Findings))
	}
	f := r.Findings[0]
	if f.Severity != analysis.Critical || f.Subject != workers[7] || !slices.Equal(f.Subjects, workers) {
		t.Errorf("%s about %d of %v, want critical, the worst, and all of %v", f.Severity, f.Subject, f.Subjects, workers)
	}
	if want := "Requests to 16 × node worker.js (pids 101, 102, 103 and 13 more) wait 170 ms; the worst is node worker.js (pid 108)"; f.Summary != want {
		t.Errorf("summary = %q, want %q", f.Summary, want)
	}
	if e := f.Evidence[0]; e.Value != 0.17 || e.Least == nil || *e.Least != 0.1 || *e.Most != 0.25 {
		t.Errorf("evidence = %+v, want 0.17 of the worst, from 0.1 to 0.25", e)
	}
	rec := f.Recommendations[0]
	if len(f.Recommendations) != 1 || rec.Quantity.Value != 3.5 || rec.Action != "Move the work of each of 16 × node worker.js (pids 101, 102, 103 and 13 more) to 3.5 threads" {
		t.Errorf("recommendations = %+v, want one, with the number that is enough for all", f.Recommendations)
	}
}

// TestDifferentProblemsStayApart checks that findings with another owner, program,
// cause or action are not grouped.
func TestDifferentProblemsStayApart(t *testing.T) {
	h := handmade.New(t, 10, 2)
	mine := service(h, 101, 2, "node worker.js", "100:1")
	stranger := service(h, 201, 1, "node worker.js", "200:1")
	other := service(h, 301, 1, "node mail.js", "100:1")
	a := &analysis.Analyzer{Name: "test", Causes: []string{"on-cpu", "gc"}, Verbs: append(verbs, analysis.AddNodes), Run: func(p *analysis.Pass) []analysis.Finding {
		move := late(p, mine[1], "on-cpu", 0.1)
		move.Recommendations[0].Verb = analysis.AddNodes
		return []analysis.Finding{late(p, mine[0], "on-cpu", 0.1), late(p, mine[1], "gc", 0.1), move, late(p, stranger[0], "on-cpu", 0.1), late(p, other[0], "on-cpu", 0.1)}
	}}
	r := h.Run(a)
	if len(r.Findings) != 5 {
		t.Errorf("%d findings, want five", len(r.Findings))
	}
	for _, f := range r.Findings {
		if f.Subjects != nil || strings.Contains(f.Summary, "×") {
			t.Errorf("%s is about %v, want one subject", f.Summary, f.Subjects)
		}
	}
}

// TestSymptomsOfAGroup checks that symptoms of several findings that are grouped
// become symptoms of the group, and are grouped themselves.
func TestSymptomsOfAGroup(t *testing.T) {
	h := handmade.New(t, 10, 2)
	workers := service(h, 101, 3, "node worker.js", "100:1")
	cause := &analysis.Analyzer{Name: "cause", Causes: []string{"root"}, Verbs: verbs, Run: func(p *analysis.Pass) []analysis.Finding {
		var fs []analysis.Finding
		for _, w := range workers {
			fs = append(fs, late(p, w, "root", 0.1))
		}
		return fs
	}}
	symptom := &analysis.Analyzer{Name: "symptom", Causes: []string{"root"}, Verbs: verbs, SymptomOf: []string{"cause"}, Run: func(p *analysis.Pass) []analysis.Finding {
		var fs []analysis.Finding
		for _, w := range workers {
			f := late(p, w, "root", 0.1)
			f.Lost, f.LostTotal, f.Without = map[string]float64{"cause": 1}, 1, func([]string) bool { return false }
			fs = append(fs, f)
		}
		return fs
	}}
	r := h.Run(cause, symptom)
	if len(r.Findings) != 2 || r.Findings[1].SymptomOf != r.Findings[0] || len(r.Findings[1].Subjects) != 3 {
		t.Errorf("findings = %+v, want a cause and its symptom, of three each", r.Findings)
	}
}

// TestPartsOfOneProcess checks that a server with several event loops is named once.
func TestPartsOfOneProcess(t *testing.T) {
	h := handmade.New(t, 10, 2)
	server := h.Process("42", "jvm", "java", observe.None)
	loops := []observe.ID{h.Loop(server), h.Add(observe.Loop, "42:1/43", server, catalog.AttrTID, "43")}
	r := h.Run(&analysis.Analyzer{Name: "test", Causes: []string{"on-cpu"}, Verbs: verbs, Run: func(p *analysis.Pass) []analysis.Finding {
		return []analysis.Finding{late(p, loops[0], "on-cpu", 0.2), late(p, loops[1], "on-cpu", 0.1)}
	}})
	if want := "Requests to 2 event loops of java (pid 42) wait 200 ms; the worst is java (pid 42)"; len(r.Findings) != 1 || r.Findings[0].Summary != want {
		t.Errorf("findings = %+v, want one: %q", r.Findings, want)
	}
}

// TestKeepOfAGroup checks that a question about one worker returns the finding of
// that worker.
func TestKeepOfAGroup(t *testing.T) {
	h := handmade.New(t, 10, 2)
	workers := service(h, 101, 3, "node worker.js", "100:1")
	a := &analysis.Analyzer{Name: "test", Causes: []string{"on-cpu"}, Verbs: verbs, Run: func(p *analysis.Pass) []analysis.Finding {
		return []analysis.Finding{late(p, workers[0], "on-cpu", 0.3), late(p, workers[1], "on-cpu", 0.1)}
	}}
	r := analysis.Run([]*analysis.Analyzer{a}, h.Window(), observe.Host{}, analysis.Options{Keep: func(id observe.ID) bool { return id == workers[1] }})
	if len(r.Findings) != 1 || r.Findings[0].Subject != workers[1] || r.Findings[0].Subjects != nil {
		t.Errorf("findings = %+v, want that of the second worker alone", r.Findings)
	}
}
