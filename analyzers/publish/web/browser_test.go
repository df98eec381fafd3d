// SPDX-License-Identifier: Apache-2.0

package web

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/report"
	"github.com/headroom-project/headroom/lab/browser"
)

// TestBrowserHostileNames: names that look like markup are shown letter by
// letter, and nothing is made of them.
func TestBrowserHostileNames(t *testing.T) {
	server := httptest.NewServer(Handler(agent{report: judged()}, http.NotFoundHandler()))
	defer server.Close()
	p := browser.Start(t).Open(server.URL, browser.Looks[0])
	p.Await(`document.querySelectorAll("#now article").length === 2 && document.querySelectorAll("#rows tr").length === 2`)
	browser.Value[bool](p, `(document.querySelectorAll("details").forEach(d => d.open = true), true)`)
	says := browser.Value[string](p, `document.body.innerText`)
	for _, want := range []string{hostileCommand, hostileContainer, hostileSummary, "Move <a href=javascript:alert(3)>it</a>", "<i>web</i>", "no <u>pressure</u>"} {
		if !strings.Contains(says, want) {
			t.Errorf("the page does not show %q; it shows:\n%s", want, says)
		}
	}
	if made := browser.Value[int](p, `document.querySelectorAll("img, i:not([class]), u, b:not(th b), script + script, [onerror], a[href^=javascript]").length`); made > 0 {
		t.Errorf("the page has made %d elements of names", made)
	}
	p.Sight("hostile names")
	p.Clean(server.URL)
}

// TestBrowserFoldsSymptoms: a symptom is drawn inside the card of its root cause,
// does not count in the heading, and opens by its key; notes are below their own
// heading.
func TestBrowserFoldsSymptoms(t *testing.T) {
	server := httptest.NewServer(Handler(agent{report: folded()}, http.NotFoundHandler()))
	defer server.Close()
	b := browser.Start(t)
	p := b.Open(server.URL, browser.Looks[0])
	p.Await(`document.querySelectorAll("#now > article").length === 1 && document.querySelectorAll("#notes > article").length === 1`)
	for what, is := range map[string]string{
		"the heading counts root causes": `verdict.textContent.includes("1 problem on")`,
		"the verdict is the root's":      `document.querySelector("#verdict .pill").textContent === "warning"`,
		"the card names its symptom":     `document.querySelector("#now > article .symptoms").textContent.includes("event-loop-blocked of node server.js (pid 42)")`,
		"the symptom is in the card":     `document.querySelectorAll("#now > article details.symptom").length === 1`,
		"notes have a heading":           `document.querySelector("#noticed").checkVisibility() && document.querySelector("#noticed h3").textContent === "Also noticed"`,
	} {
		if !browser.Value[bool](p, is) {
			t.Errorf("not so: %s; the page says:\n%s", what, browser.Value[string](p, `document.body.innerText`))
		}
	}
	linked := b.Open(server.URL+"#"+url.PathEscape(folded().Findings[1].Key), browser.Looks[0])
	linked.Await(`document.querySelector("#now > article.linked details.symptom[open]") !== null`)
	linked.Clean(server.URL)
	p.Clean(server.URL)
}

// folded is a report of a root cause with a symptom that is worse, and of a note.
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
	for _, f := range r.Findings {
		f.State = "firing"
	}
	return r
}
