// SPDX-License-Identifier: Apache-2.0

package render

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/report"
	"github.com/headroom-project/headroom/analyzers/report/reporttest"
)

var sources = map[string]string{catalog.LoopBusy.Key(): "loop", catalog.CgroupCPULimit.Key(): "cgroup"}

func document(r *analysis.Result) *Document {
	return &Document{Report: report.New(r, report.Options{Version: "1.2.3"}), Result: r, Sources: sources}
}

func TestGolden(t *testing.T) {
	for name, build := range reporttest.Results {
		r := document(build())
		reporttest.Golden(t, name+".md", r.Markdown)
		reporttest.Golden(t, name+".txt", func(w io.Writer) error { return r.Text(w, Style{Width: 80}) })
	}
	scoped := document(reporttest.Critical())
	scoped.Scope = "container api"
	reporttest.Golden(t, "colour.txt", func(w io.Writer) error { return scoped.Text(w, Style{Width: 100, Color: true}) })
}

// TestTwoFindingsFitAScreen checks that two findings fit a terminal of 80 × 24.
func TestTwoFindingsFitAScreen(t *testing.T) {
	var out bytes.Buffer
	if err := document(reporttest.Critical()).Text(&out, Style{Width: 80}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) > 24 {
		t.Errorf("two findings and a symptom take %d lines, want at most 24:\n%s", len(lines), out.String())
	}
	for _, line := range lines {
		if n := len([]rune(line)); n > 80 {
			t.Errorf("a line of %d columns, want at most 80: %q", n, line)
		}
	}
}

// TestNoEscapeFromNames checks that escape sequences in the names of programs are
// removed.
func TestNoEscapeFromNames(t *testing.T) {
	r := document(reporttest.Critical())
	for name, render := range map[string]func(io.Writer) error{
		"text":     func(w io.Writer) error { return r.Text(w, Style{}) },
		"markdown": r.Markdown,
	} {
		var out bytes.Buffer
		if err := render(&out); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out.String(), "\x1b") {
			t.Errorf("%s has an escape sequence of a process's name", name)
		}
	}
}

func TestExplain(t *testing.T) {
	a := &analysis.Analyzer{
		Name: "cpu-throttled", Title: "Does a CPU limit stop a service?", Causes: []string{"limit-too-low"},
		Verbs:  []analysis.Verb{analysis.RaiseCPULimit},
		Params: []*analysis.Param{{Name: "share", Unit: observe.Ratio, Default: 0.05, Doc: "below it nobody was late in a trial of forty services."}},
		Doc:    "# cpu-throttled\n\nA **quota** of `cpu.max` ran out, and the service stood still for the rest of the period, which is long.\n\n## Formula\n\n    throttled / periods\n\n- an item that is long enough to need a second line, so that its text hangs\n- another\n\n| a | b |\n|---|---|\n\n```sh\ncat cpu.stat   # as it is\n```\n",
	}
	reporttest.Golden(t, "explain.txt", func(w io.Writer) error { return Explain(w, a, Style{Width: 60}) })
}
