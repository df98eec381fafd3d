// SPDX-License-Identifier: Apache-2.0

package web

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/export/services"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/publish/past"
	"github.com/headroom-project/headroom/analyzers/report"
)

// agent is a Source with a fixed state.
type agent struct {
	report *report.Report
	dead   error
}

func (a agent) Report() *report.Report { return a.report }
func (a agent) Alive() error           { return a.dead }

func (a agent) Services() *services.List {
	return &services.List{Schema: services.SchemaName, Services: []*services.Service{
		{Name: hostileContainer, Container: hostileContainer, Pod: "web-1", Programs: []string{hostileCommand}}, {Name: "redis", Service: "redis.service", Programs: []string{}}}}
}

// Episodes returns one episode that has ended, with a hostile name.
func (a agent) Episodes(time.Time) []past.Episode {
	if a.report == nil {
		return []past.Episode{}
	}
	text, err := json.Marshal(a.report.Findings[2])
	if err != nil {
		panic(err) // cannot happen: the report is made here
	}
	ended := time.Now()
	return []past.Episode{{Key: a.report.Findings[2].Key, Fired: ended.Add(-time.Minute), Ended: &ended, Finding: text}}
}

// Names that a process or a container can choose, and a summary with one.
const (
	hostileCommand   = `node <script>alert("1")</script>`
	hostileContainer = `"><img src=x onerror=alert(2)>`
	hostileSummary   = hostileCommand + ` (pid 42) & <b>others</b> wait`
)

// judged returns a report with a firing, a muted and a cleared finding about a process
// with a hostile name.
func judged() *report.Report {
	x := observe.NewIndex(10)
	container := x.ID(observe.Entity{Kind: observe.Cgroup, ID: "/docker/a"})
	x.Describe(container, observe.Info{Attrs: map[string]string{catalog.AttrContainerID: "3f8a", catalog.AttrContainerName: hostileContainer}})
	process := x.ID(observe.Entity{Kind: observe.Process, ID: "42:1"})
	x.Describe(process, observe.Info{Parent: x.Entity(container), Attrs: map[string]string{catalog.AttrPID: "42", catalog.AttrCommand: hostileCommand}})
	w := observe.NewWindow(x)
	w.Start = time.Date(2026, 11, 25, 1, 0, 0, 0, time.UTC)
	w.End, w.Seconds = w.Start.Add(30*time.Second), 30
	blocked := &analysis.Analyzer{Name: "event-loop-blocked", Category: analysis.CategoryEventLoop}
	found := &analysis.Result{Host: observe.Host{Name: "<i>web</i>"}, Window: w,
		Gaps: []observe.Gap{{Source: "psi", Reason: "no <u>pressure</u>", Cure: "boot with psi=1"}}}
	for range 3 {
		found.Findings = append(found.Findings, &analysis.Finding{Analyzer: blocked, Cause: "on-cpu", Severity: analysis.Critical,
			Subject: process, Summary: hostileSummary,
			Recommendations: []analysis.Recommendation{{Verb: analysis.MoveToWorkerThreads, Action: "Move <a href=javascript:alert(3)>it</a>"}}})
	}
	r := report.New(found, report.Options{Version: "1.2.3"})
	r.Findings[0].State, r.Findings[1].State, r.Findings[2].State = "firing", "firing", "cleared"
	r.Findings[1].Muted = true
	return r
}

// ask sends one request to a handler whose metrics are the word "metrics".
func ask(a agent, method, path string) *httptest.ResponseRecorder {
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "metrics\n") })
	w := httptest.NewRecorder()
	Handler(a, metrics).ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

// TestLifeOfAnAgent checks that an agent is healthy from the start, is ready after its
// first evaluation unless too many sources are lost, and is neither when it no longer
// observes anything.
func TestLifeOfAnAgent(t *testing.T) {
	starting, running := agent{}, agent{report: judged()}
	stuck := agent{report: judged(), dead: errors.New("nothing was observed for 61 s")}
	blind := agent{report: judged()}
	blind.report.Asked = report.Questions{Asked: 11, Of: 19, HalfBlind: true, Lost: 6}
	limited := agent{report: judged()} // such as on a node without eBPF
	limited.report.Asked = report.Questions{Asked: 8, Of: 19, HalfBlind: true, Lost: 1}
	contained := agent{report: judged()} // all analyzers run, on a part of the host
	contained.report.Asked = report.Questions{Asked: 19, Of: 19, HalfBlind: true}
	for _, c := range []struct {
		name, path string
		agent      agent
		status     int
		says       string
	}{
		{"starting", "/healthz", starting, http.StatusOK, "ok"},
		{"starting", "/readyz", starting, http.StatusServiceUnavailable, "the first window is not complete"},
		{"starting", "/api/v1/findings", starting, http.StatusServiceUnavailable, "the first window is not complete"},
		{"starting", "/metrics", starting, http.StatusOK, "metrics"},
		{"starting", "/", starting, http.StatusOK, "<!DOCTYPE html>"},
		{"running", "/healthz", running, http.StatusOK, "ok"},
		{"running", "/readyz", running, http.StatusOK, "ok"},
		{"running", "/api/v1/findings", running, http.StatusOK, `"verdict": "critical"`},
		{"stuck", "/healthz", stuck, http.StatusServiceUnavailable, "nothing was observed for 61 s"},
		{"stuck", "/readyz", stuck, http.StatusServiceUnavailable, "nothing was observed for 61 s"},
		{"stuck", "/api/v1/findings", stuck, http.StatusOK, `"verdict": "critical"`}, // it contains the time of the window
		{"half blind", "/healthz", blind, http.StatusOK, "ok"},
		{"half blind", "/readyz", blind, http.StatusServiceUnavailable, "6 of 17 analyzers cannot run, because a source hangs, fails or was lost; sources with gaps: psi; GET"},
		{"on a limited node", "/readyz", limited, http.StatusOK, "ready, half blind: 11 of 19 analyzers cannot run on this node; sources with gaps: psi; GET"},
		{"half blind", "/api/v1/findings", blind, http.StatusOK, `"half_blind": true`},
		{"in a container", "/readyz", contained, http.StatusOK, "ok"},
		{"in a container", "/api/v1/findings", contained, http.StatusOK, `"half_blind": true`},
		{"running", "/nowhere", running, http.StatusNotFound, ""},
		{"running", "/api/v1/findings/", running, http.StatusNotFound, ""},
	} {
		w := ask(c.agent, http.MethodGet, c.path)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s: GET %s = %d %.80q, want %d and %q in it", c.name, c.path, w.Code, w.Body, c.status, c.says)
		}
	}
}

// paths lists all paths that are served.
var paths = []string{"/", "/api/v1/findings", "/api/v1/services", "/api/v1/findings/history", "/metrics", "/healthz", "/readyz"}

// TestOnlyReading checks that only GET and HEAD are allowed.
func TestOnlyReading(t *testing.T) {
	for _, path := range paths {
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW"} {
			w := ask(agent{report: judged()}, method, path)
			if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s = %d, allowed %q, want 405 and GET, HEAD", method, path, w.Code, w.Header().Get("Allow"))
			}
		}
	}
}

// TestMetricsHandler checks that MetricsHandler serves only metrics and health.
func TestMetricsHandler(t *testing.T) {
	served := map[string]int{"/metrics": http.StatusOK, "/healthz": http.StatusOK, "/readyz": http.StatusOK}
	for _, path := range paths {
		w := httptest.NewRecorder()
		MetricsHandler(agent{report: judged()}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if want := cmp.Or(served[path], http.StatusNotFound); w.Code != want {
			t.Errorf("GET %s = %d, want %d", path, w.Code, want)
		}
	}
}

// TestHealthHandler checks that only the health paths bypass the next handler.
func TestHealthHandler(t *testing.T) {
	locked := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	open := map[string]int{"/healthz": http.StatusOK, "/readyz": http.StatusOK}
	for _, path := range append(paths, "/healthz/", "/readyz/x", "/nowhere") {
		w := httptest.NewRecorder()
		HealthHandler(agent{report: judged()}, locked).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if want := cmp.Or(open[path], http.StatusUnauthorized); w.Code != want {
			t.Errorf("GET %s = %d, want %d", path, w.Code, want)
		}
	}
}

// TestTypes checks that each response has its content type and the security headers,
// so that a browser does not guess the type.
func TestTypes(t *testing.T) {
	const text = "text/plain; charset=utf-8"
	running := agent{report: judged()}
	for _, c := range []struct {
		path string
		a    agent
		want string
	}{
		{"/", running, "text/html; charset=utf-8"},
		{"/api/v1/findings", running, "application/json"},
		{"/api/v1/findings", agent{}, text},
		{"/api/v1/services", running, "application/json"},
		{"/api/v1/findings?state=none", running, text},
		{"/healthz", running, text},
		{"/readyz", running, text},
		{"/readyz", agent{}, text},
	} {
		h := ask(c.a, http.MethodGet, c.path).Header()
		if got := h.Get("Content-Type"); got != c.want {
			t.Errorf("GET %s is %q, want %q", c.path, got, c.want)
		}
		if got := h.Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("GET %s has X-Content-Type-Options %q, want nosniff", c.path, got)
		}
		if got := h.Get("Cache-Control"); got != "no-store" {
			t.Errorf("GET %s has Cache-Control %q, want no-store: it is old at once", c.path, got)
		}
		if got := h.Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'none';") || !strings.Contains(got, "frame-ancestors 'none'") {
			t.Errorf("GET %s has Content-Security-Policy %q: another page may show or use it", c.path, got)
		}
	}
	if got := ask(running, http.MethodGet, "/").Header().Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'none';") || strings.Contains(got, "unsafe") {
		t.Errorf("the page's policy is %q: it begins by allowing something", got)
	}
}

// TestFindingsMatchSchema checks that the API uses the schema of diagnose, with states
// and mutes, which only an agent has.
func TestFindingsMatchSchema(t *testing.T) {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	schema, err := c.Compile("../../report/schema/report-v1.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(ask(agent{report: judged()}, http.MethodGet, "/api/v1/findings").Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(document); err != nil {
		t.Error(err)
	}
}

// TestFilters checks the query parameters for findings and services. An unknown
// parameter or value is an error that lists the known ones.
func TestFilters(t *testing.T) {
	running := agent{report: judged()}
	for _, c := range []struct {
		query  string
		status int
		counts string
		n      int
	}{
		{"findings", http.StatusOK, `"summary"`, 3},
		{"findings?state=cleared", http.StatusOK, `"summary"`, 1},
		{"findings?state=cleared&state=firing", http.StatusOK, `"summary"`, 3},
		{"findings?state=pending", http.StatusOK, `"summary"`, 0},
		{"findings?severity=critical&state=firing", http.StatusOK, `"summary"`, 2},
		{"findings?severity=info", http.StatusOK, `"summary"`, 0},
		{"findings?service=" + url.QueryEscape(hostileContainer), http.StatusOK, `"summary"`, 3},
		{"findings?service=nobody", http.StatusOK, `"summary"`, 0},
		{"findings?state=muted", http.StatusBadRequest, `unknown state "muted" (known: pending, firing, cleared)`, 1},
		{"findings?severity=", http.StatusBadRequest, `unknown severity "" (known: info, warning, critical)`, 1},
		{"findings?sevrity=info", http.StatusBadRequest, `unknown parameter "sevrity" (known: service, severity, state)`, 1},
		{"findings?state=%zz", http.StatusBadRequest, "reading the query", 1},
		{"findings/history", http.StatusOK, `"summary"`, 1},
		{"findings/history?sinze=1h", http.StatusBadRequest, `unknown parameter "sinze" (known: since)`, 1},
		{"services", http.StatusOK, `"programs"`, 2},
		{"services?service=redis.service", http.StatusOK, `"programs"`, 1},
		{"services?service=web-1", http.StatusOK, `"programs"`, 1},
		{"services?service=nobody", http.StatusOK, `"services":[]`, 1},
		{"services?state=firing", http.StatusBadRequest, `unknown parameter "state" (known: service)`, 1},
	} {
		w := ask(running, http.MethodGet, "/api/v1/"+c.query)
		if got := strings.Count(w.Body.String(), c.counts); w.Code != c.status || got != c.n {
			t.Errorf("%s = %d with %d × %s, want %d with %d: %.200s", c.query, w.Code, got, c.counts, c.status, c.n, w.Body)
		}
	}
	if len(running.report.Findings) != 3 {
		t.Error("a filter has changed the report that others read")
	}
}

// TestPageHoldsNoNames checks that the page does not contain findings: it fetches them
// as JSON.
func TestPageHoldsNoNames(t *testing.T) {
	before, after := ask(agent{}, http.MethodGet, "/").Body.String(), ask(agent{report: judged()}, http.MethodGet, "/").Body.String()
	if before != after {
		t.Error("the page depends on what was found: whoever writes names into HTML must escape them")
	}
}
