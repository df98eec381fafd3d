// SPDX-License-Identifier: Apache-2.0

package render

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"html"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/printable"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/report/reporttest"
)

func pageOf(t *testing.T, r *analysis.Result) string {
	t.Helper()
	var out bytes.Buffer
	if err := document(r).HTML(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestPageHasEverything checks that the page has all that the other formats have.
func TestPageHasEverything(t *testing.T) {
	for name, build := range reporttest.Results {
		page := html.UnescapeString(pageOf(t, build()))
		r := document(build())
		wants := append(append([]string{r.headline()}, r.fine()...), r.withoutSubject()...)
		for _, f := range r.Findings {
			wants = append(wants, f.Summary, f.ID, f.Key)
			for _, e := range f.Evidence {
				wants = append(wants, named(e.Metric, e.Label), Human(float64(e.Value), e.Unit))
			}
			for _, e := range f.Exemplars {
				wants = append(wants, clockOf(e.Start), humanSeconds(float64(e.Seconds)), e.Syscall)
			}
			for _, rec := range f.Recommendations {
				wants = append(wants, fix(rec), rec.Verify, rec.Risk, rec.NotIf)
			}
			wants = append(wants, when(f))
		}
		for _, g := range r.Gaps {
			wants = append(wants, g.Reason, g.Cure) // sources with the same reason can be left out
		}
		for _, want := range wants {
			if !strings.Contains(page, printable.Text(want)) {
				t.Errorf("%s: the page lacks %q", name, want)
			}
		}
	}
}

// TestPagePolicy checks that the content security policy of the page allows its own
// style and script, by their hashes, and nothing else.
func TestPagePolicy(t *testing.T) {
	page := pageOf(t, reporttest.Critical())
	policy := html.UnescapeString(regexp.MustCompile(`Content-Security-Policy" content="([^"]*)"`).FindStringSubmatch(page)[1])
	for _, tag := range []string{"style", "script"} {
		text := regexp.MustCompile("(?s)<" + tag + ">(.*?)</" + tag + ">").FindStringSubmatch(page)[1]
		sum := sha256.Sum256([]byte(text))
		want := tag + "-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "';"
		if !strings.Contains(policy, want) {
			t.Errorf("the policy %q does not allow the page's own %s: want %s", policy, tag, want)
		}
	}
	if !strings.HasPrefix(policy, "default-src 'none';") {
		t.Errorf("the policy %q begins by allowing something", policy)
	}
	if found := regexp.MustCompile(`(?i)(https?:)?//[a-z]|<(iframe|object|embed|base|form action)|\sstyle=|\son[a-z]+=`).FindString(page); found != "" {
		t.Errorf("the page has %q", found)
	}
}

// TestPageShowsNamesAsText checks that names of processes and containers are escaped.
func TestPageShowsNamesAsText(t *testing.T) {
	const hostile = `</script><script>alert(1)</script><img src=x onerror=alert(2)>"'` + "`\x1b[2J\u202e"
	h := reporttest.NewHost()
	h.Index.Describe(h.Server, observe.Info{Parent: h.Index.Entity(h.API), Attrs: map[string]string{catalog.AttrPID: "7", catalog.AttrCommand: hostile}})
	h.Index.Describe(h.API, observe.Info{Attrs: map[string]string{catalog.AttrCgroup: hostile, catalog.AttrContainerID: hostile, catalog.AttrContainerName: hostile}})
	r := h.Result()
	r.Host.Name, r.Host.Kernel = hostile, hostile
	cause := &analysis.Finding{Analyzer: reporttest.Blocked, Cause: hostile, Severity: analysis.Critical, Subject: h.Server, Summary: hostile,
		Evidence:        []analysis.Evidence{{Metric: catalog.LoopLag, Label: hostile, Unit: hostile}},
		Blame:           []analysis.Blame{{Subject: h.API, Share: 1}},
		Culprits:        []analysis.Culprit{{Share: 1, Uses: hostile, Frames: []analysis.Frame{{Function: hostile, File: hostile}}}},
		Exemplars:       []observe.Stall{{Start: reporttest.WindowStart, Duration: 1, Syscall: hostile, Parts: observe.Parts{CPU: 1}}},
		Recommendations: []analysis.Recommendation{{Action: hostile, Verify: hostile, Risk: hostile, NotIf: hostile}},
		Forecast:        &analysis.Forecast{What: hostile, At: 1}}
	r.Findings = []*analysis.Finding{cause, {Analyzer: reporttest.Blocked, Cause: hostile, Subject: h.Loop, Summary: hostile, SymptomOf: cause}}
	r.Gaps = []observe.Gap{{Source: hostile, Reason: hostile, Cure: hostile}}
	page := pageOf(t, r)
	for tag, want := range map[string]int{"<script": 1, "</script": 1, "<style": 1, "<img": 0, "\x1b": 0, "\u202e": 0} {
		if got := strings.Count(page, tag); got != want {
			t.Errorf("the page has %q %d times, want %d", tag, got, want)
		}
	}
	if !strings.Contains(html.UnescapeString(page), printable.Text(hostile)) {
		t.Errorf("the page does not show the name %q", printable.Text(hostile))
	}
}

// TestCharts checks the charts of a window: a value with its limit, a map of the cores,
// and stalls.
func TestCharts(t *testing.T) {
	h := reporttest.NewHost()
	core := h.Index.ID(observe.Entity{Kind: observe.CPU, ID: "0"})
	w := observe.NewWindow(h.Index)
	d := observe.NewDiffer(h.Index)
	for i := range 31 {
		s := observe.NewSnapshot(h.Index)
		s.Time, s.Monotonic = reporttest.WindowStart.Add(time.Duration(i)*time.Second), time.Duration(i)*time.Second
		at := float64(i)
		s.Set(catalog.CPUIdle, core, at/4) // 75 % busy
		s.Set(catalog.ProcessFDs, h.Server, 50+at)
		s.Set(catalog.ProcessFDLimit, h.Server, 100)
		s.Set(catalog.LoopBusy, h.Loop, at/2)
		w.Add(d.Step(s))
	}
	r := h.Result()
	r.Window = w
	r.Findings = []*analysis.Finding{
		{Analyzer: reporttest.Growth, Severity: analysis.Warning, Subject: h.Server, Evidence: []analysis.Evidence{{Metric: catalog.ProcessFDs, Value: 80, Unit: observe.Count}}},
		{Analyzer: reporttest.Blocked, Severity: analysis.Warning, Subject: h.Loop,
			Exemplars: []observe.Stall{{Start: reporttest.WindowStart.Add(15 * time.Second), Duration: 3, Parts: observe.Parts{CPU: 3}}}},
	}
	p := document(r).page()
	if len(p.Charts) != 1 || len(p.Charts[0].Cells) != 1 || p.Charts[0].Cells[0].Tenths != 8 {
		t.Errorf("charts of the host = %+v, want a map with one cell of eight tenths", p.Charts)
	}
	fds := p.Problems[0].Charts[0]
	if fds.Limit != "limit 100" || fds.LimitY != "0.0" || fds.Lines[0].Most != "80" || !strings.HasPrefix(fds.Lines[0].Path, "M0 50h0L33.3 49L") {
		t.Errorf("descriptors = %+v, want from 50 to 80 of a limit of 100", fds)
	}
	loop := p.Problems[1].Charts[0]
	if len(loop.Stalls) != 1 || loop.Stalls[0].X != "500" || loop.Stalls[0].Width != "100" || loop.Lines[0].Mean != "50%" {
		t.Errorf("loop = %+v, want 50%% and a stall of three seconds in the middle", loop)
	}
}
