// SPDX-License-Identifier: Apache-2.0

// Package analysistest replays an analyzer over recorded cases: testdata/*.txtar,
// each a part of a real recording with the expected findings.
//
//	cut from burn.hr: node v20.20.2, GET /burn spins 200 ms, wrk -c2; kernel 6.18
//	-- recording --
//	{"schema":"headroom/recording/v1",…}
//	{"time":…}
//	-- want --
//	event-loop-blocked/on-cpu critical loop node
//	  move-to-worker-threads
//
// A look-alike, for which there must be no finding above info, has a name that starts
// with "silent-". Cases are made with analysistest/cut, never by hand: the comment names
// the recording. go test -update writes want; read the diff.
package analysistest

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/headroom-project/headroom/agent/archive"
	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

var update = flag.Bool("update", false, "write what the analyzer says into testdata")

// Run replays a over every case in testdata. It fails if there is no case with a
// finding, or no case that must stay silent.
func Run(t *testing.T, a *analysis.Analyzer) {
	t.Helper()
	run(t, a, 0)
}

// RunSlower is Run for an analyzer that needs a history: it is that of the recording, in
// which one recorded second takes this many.
func RunSlower(t *testing.T, a *analysis.Analyzer, slower float64) {
	t.Helper()
	run(t, a, slower)
}

func run(t *testing.T, a *analysis.Analyzer, slower float64) {
	t.Helper()
	// The list of all analyzers is not available here. The test of package suite
	// checks the names in SymptomOf.
	alone := *a
	alone.SymptomOf = nil
	if err := analysis.Validate([]*analysis.Analyzer{&alone}); err != nil {
		t.Error(err)
	}
	cases, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	fired, silent := 0, 0
	for _, file := range cases {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		t.Run(name, func(t *testing.T) { replayCase(t, a, file, slower) })
		if strings.HasPrefix(name, "silent-") {
			silent++
		} else {
			fired++
		}
	}
	if fired == 0 || silent == 0 {
		t.Errorf("%d recorded cases fire and %d look-alikes stay silent: at least one of each is needed", fired, silent)
	}
}

func replayCase(t *testing.T, a *analysis.Analyzer, file string, slower float64) {
	t.Helper()
	content, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(bytes.TrimSpace(content.Comment)) == 0 {
		t.Error("no comment says where the recording is from")
	}
	w, host, err := Window(bytes.NewReader(section(content, "recording")))
	if err != nil {
		t.Fatal(err)
	}
	options := analysis.Options{}
	if slower > 0 {
		options.History = slowed(t, w.Index, section(content, "recording"), slower)
	}
	result := analysis.Run([]*analysis.Analyzer{a}, w, host, options)
	mustNotFail(t, result)
	got := Describe(result, analysis.Info)
	if strings.HasPrefix(filepath.Base(file), "silent-") {
		if loud := Describe(result, analysis.Warning); loud != "" {
			t.Errorf("a look-alike is called:\n%s", loud)
		}
	} else if got == "" {
		t.Error("nothing is said, and its name is not silent-")
	}
	if *update {
		writeWant(t, file, content, got)
		return
	}
	if diff := cmp.Diff(string(section(content, "want")), got); diff != "" {
		t.Errorf("findings differ (-want +got):\n%s", diff)
	}
}

// Window returns one window over a whole recording.
func Window(r io.Reader) (*observe.Window, observe.Host, error) {
	in, err := archive.NewReader(r)
	if err != nil {
		return nil, observe.Host{}, err
	}
	w, d := observe.NewWindow(in.Index()), observe.NewDiffer(in.Index())
	for {
		s, err := in.Next()
		if errors.Is(err, io.EOF) {
			return w, in.Header().Host, nil
		}
		if err != nil {
			return nil, observe.Host{}, err
		}
		w.Add(d.Step(s))
	}
}

// Describe returns a short, stable text of the findings at or above a severity: ID,
// cause, severity, subject, the verbs with rounded quantities, and who or what takes the
// time.
func Describe(r *analysis.Result, least analysis.Severity) string {
	var b strings.Builder
	for _, f := range r.Findings {
		if f.Severity < least {
			continue
		}
		fmt.Fprintf(&b, "%s/%s %s %s\n", f.Analyzer.Name, f.Cause, f.Severity, subject(r.Window.Index, f.Subject))
		for _, rec := range f.Recommendations {
			fmt.Fprintf(&b, "  %s%s\n", rec.Verb, quantity(rec.Quantity))
		}
		for _, blame := range f.Blame {
			fmt.Fprintf(&b, "  blames %s for %.0f%%\n", subject(r.Window.Index, blame.Subject), 100*blame.Share)
		}
		for _, c := range f.Culprits {
			fmt.Fprintf(&b, "  names %s for %.0f%%\n", c.Frames[0].Function, 100*c.Share)
		}
	}
	return b.String()
}

func quantity(q *analysis.Estimate) string {
	if q == nil {
		return ""
	}
	return fmt.Sprintf(" %.3g %s", q.Value, q.Unit)
}

// subject returns the kind of an entity and the command of its process, if any. These
// are the same on every machine.
func subject(x *observe.Index, id observe.ID) string {
	e := x.Entity(id)
	name := e.ID
	if p, ok := x.Ancestor(id, observe.Process); ok {
		name = x.Attr(p, catalog.AttrCommand)
	}
	return e.Kind.String() + " " + name
}

func section(a *txtar.Archive, name string) []byte {
	i := slices.IndexFunc(a.Files, func(f txtar.File) bool { return f.Name == name })
	if i < 0 {
		return nil
	}
	return a.Files[i].Data
}

func writeWant(t *testing.T, file string, a *txtar.Archive, want string) {
	t.Helper()
	a.Files = slices.DeleteFunc(a.Files, func(f txtar.File) bool { return f.Name == "want" })
	a.Files = append(a.Files, txtar.File{Name: "want", Data: []byte(want)})
	if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
		t.Fatal(err)
	}
}

// mustNotFail fails the test if an analyzer panicked. Users get a gap instead.
func mustNotFail(t *testing.T, r *analysis.Result) {
	t.Helper()
	for _, g := range r.Gaps {
		if g.Source == analysis.GapAnalyzer {
			t.Fatal(g.Reason)
		}
	}
}
