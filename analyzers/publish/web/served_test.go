// SPDX-License-Identifier: Apache-2.0

package web

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/report"
)

// TestServePage serves the page of an agent with a report until standard input ends.
// It is for lab/pages, which opens the page in a browser, and tests nothing itself.
func TestServePage(t *testing.T) {
	name := os.Getenv("HEADROOM_SERVE_PAGE")
	if name == "" {
		return
	}
	reports := map[string]func() *report.Report{"hostile": judged, "folded": folded}
	if reports[name] == nil {
		t.Fatalf("HEADROOM_SERVE_PAGE=%s is no report, want hostile or folded", name)
	}
	server := httptest.NewServer(Handler(agent{report: reports[name]()}, http.NotFoundHandler()))
	defer server.Close()
	fmt.Println("done", server.URL)
	_, _ = io.Copy(io.Discard, os.Stdin) // an error ends it too
}

// folded returns a report with a root cause, a symptom with a higher severity, and an
// info.
func folded() *report.Report {
	x := observe.NewIndex(10)
	process := x.ID(observe.Entity{Kind: observe.Process, ID: "42:1"})
	x.Describe(process, observe.Info{Attrs: map[string]string{catalog.AttrPID: "42", catalog.AttrCommand: "node server.js"}})
	w := observe.NewWindow(x)
	w.Start = time.Date(2026, 11, 25, 1, 0, 0, 0, time.UTC)
	w.End, w.Seconds = w.Start.Add(30*time.Second), 30
	finding := func(id string, s analysis.Severity, root *analysis.Finding) *analysis.Finding {
		return &analysis.Finding{Analyzer: &analysis.Analyzer{Name: id, Category: analysis.CategoryCPU}, Cause: "test", Severity: s, Subject: process, Summary: "the summary of " + id, SymptomOf: root}
	}
	root := finding("run-queue-latency", analysis.Warning, nil)
	found := &analysis.Result{Window: w, Findings: []*analysis.Finding{root, finding("event-loop-blocked", analysis.Critical, root), finding("memory-growth", analysis.Info, nil)}}
	r := report.New(found, report.Options{Version: "1.2.3"})
	r.Asked.Unseen = 2
	for _, f := range r.Findings {
		f.State = "firing"
	}
	return r
}
