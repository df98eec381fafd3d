// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

var update = flag.Bool("update", false, "write the golden files; read the diff")

var sources = map[string]string{catalog.LoopBusy.Key(): "loop", catalog.CgroupCPULimit.Key(): "cgroup"}

// fixtures are small results, built by hand.
var fixtures = map[string]func() *analysis.Result{"healthy": healthy, "blind": blind, "critical": critical, "running-out": running, "contained": contained, "grouped": grouped}

func TestGolden(t *testing.T) {
	for name, build := range fixtures {
		r := New(build(), Options{Version: "1.2.3", Sources: sources})
		golden(t, name+".json", r.JSON)
		golden(t, name+".md", r.Markdown)
		golden(t, name+".txt", func(w io.Writer) error { return r.Text(w, Style{Width: 80}) })
	}
	golden(t, "colour.txt", func(w io.Writer) error {
		return New(critical(), Options{Scope: "container api"}).Text(w, Style{Width: 100, Color: true})
	})
}

func golden(t *testing.T, name string, render func(io.Writer) error) {
	t.Helper()
	var out bytes.Buffer
	if err := render(&out); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), out.String()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// TestTwoFindingsFitAScreen: what a person sees without scrolling.
func TestTwoFindingsFitAScreen(t *testing.T) {
	var out bytes.Buffer
	if err := New(critical(), Options{}).Text(&out, Style{Width: 80}); err != nil {
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

// TestNoEscapeFromNames: a program chose its own name.
func TestNoEscapeFromNames(t *testing.T) {
	r := New(critical(), Options{})
	for name, render := range map[string]func(io.Writer) error{
		"text":     func(w io.Writer) error { return r.Text(w, Style{}) },
		"markdown": r.Markdown,
		"json":     r.JSON,
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

// TestKeysTellWorkersApart: the workers of a cluster have one command; which
// is which must not depend on rank.
func TestKeysTellWorkersApart(t *testing.T) {
	x := observe.NewIndex(10)
	var fs []*analysis.Finding
	for _, id := range []string{"1000:7", "99:5", "500:6"} {
		e := x.ID(observe.Entity{Kind: observe.Process, ID: id})
		x.Describe(e, observe.Info{Attrs: map[string]string{catalog.AttrCommand: "node app.js", catalog.AttrService: "shop.service"}})
		fs = append(fs, &analysis.Finding{Analyzer: blocked, Cause: "on-cpu", Subject: e})
	}
	got := Keys(fs, x)
	base := "event-loop-blocked/process:shop.service/node app.js"
	want := []string{base + "#3", base, base + "#2"}
	if !slices.Equal(got, want) {
		t.Errorf("keys = %q, want %q", got, want)
	}
}

// TestKeyOfAGroup: which workers have a problem, and how many, changes from window
// to window; the key does not.
func TestKeyOfAGroup(t *testing.T) {
	r := grouped()
	f := r.Findings[1]
	want := Keys([]*analysis.Finding{f}, r.Window.Index)[0]
	for _, members := range [][]observe.ID{f.Subjects[1:], f.Subjects[:2], {f.Subjects[3]}} {
		some := &analysis.Finding{Analyzer: f.Analyzer, Cause: f.Cause, Subject: members[0]}
		if len(members) > 1 {
			some.Subjects = members
		}
		if got := Keys([]*analysis.Finding{some}, r.Window.Index)[0]; got != want {
			t.Errorf("key of %d of the workers = %q, want %q", len(members), got, want)
		}
	}
}

// TestGivenKeys: the keys of a caller are those of the findings, and no others are
// computed.
func TestGivenKeys(t *testing.T) {
	h := newHost()
	r := h.result()
	r.Findings = []*analysis.Finding{{Analyzer: blocked, Subject: h.loop}, {Analyzer: throttled, Subject: h.api}}
	own := Keys(r.Findings, h.x)
	for _, keys := range [][]string{nil, {"one", "two"}} {
		want := keys
		if want == nil {
			want = own
		}
		rep := New(r, Options{Keys: keys})
		if got := []string{rep.Findings[0].Key, rep.Findings[1].Key}; !slices.Equal(got, want) {
			t.Errorf("with keys %q the findings have %q, want %q", keys, got, want)
		}
	}
}

// TestKeyOutlivesThePod: the next pod of a Deployment has another name and
// another UID, one of a StatefulSet has the same name.
func TestKeyOutlivesThePod(t *testing.T) {
	for _, c := range []struct{ workload, pod, want string }{
		{"deployment/shop", "shop-7d9c-x2x4z", "test/process:web/deployment/shop/api/node server.js"},
		{"cronjob/report", "report-29926260-abcde", "test/process:web/cronjob/report/api/node server.js"},
		{"statefulset/db", "db-0", "test/process:web/db-0/api/node server.js"},
		{"pod/by-hand", "by-hand", "test/process:web/by-hand/api/node server.js"},
		{"", "of-nobody", "test/process:web/of-nobody/api/node server.js"},
	} {
		x := observe.NewIndex(10)
		add := func(k observe.EntityKind, id string, parent observe.ID, attrs map[string]string) observe.ID {
			e := x.ID(observe.Entity{Kind: k, ID: id})
			info := observe.Info{Attrs: attrs}
			if parent != observe.None {
				info.Parent = x.Entity(parent)
			}
			x.Describe(e, info)
			return e
		}
		names := map[string]string{catalog.AttrNamespace: "web", catalog.AttrPodName: c.pod, catalog.AttrWorkload: c.workload, catalog.AttrPodUID: "1"}
		pod := add(observe.Cgroup, "/kubepods/pod1", observe.None, names)
		container := add(observe.Cgroup, "/kubepods/pod1/c", pod, map[string]string{catalog.AttrContainerID: "c", catalog.AttrContainerName: "api"})
		server := add(observe.Process, "42:1", container, map[string]string{catalog.AttrPID: "42", catalog.AttrCommand: "node server.js"})
		a := &analysis.Analyzer{Name: "test"}
		keys := Keys([]*analysis.Finding{{Analyzer: a, Subject: server}, {Analyzer: a, Subject: pod}}, x)
		if keys[0] != c.want {
			t.Errorf("key of a process in %s = %q, want %q", c.pod, keys[0], c.want)
		}
		if want := strings.TrimSuffix(strings.Replace(c.want, "process", "cgroup", 1), "/api/node server.js"); keys[1] != want {
			t.Errorf("key of the pod %s = %q, want %q", c.pod, keys[1], want)
		}
	}
}

// TestKeyOfAUsersContainer: a user may give a container the ID of another.
func TestKeyOfAUsersContainer(t *testing.T) {
	x := observe.NewIndex(10)
	const id = "8f6a1c9c2d9c4a7bb8f2b8d3f0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3"
	var fs []*analysis.Finding
	for path, service := range map[string]string{"/docker/" + id: "", "/user/docker-" + id: "user@1000.service"} {
		e := x.ID(observe.Entity{Kind: observe.Cgroup, ID: path})
		x.Describe(e, observe.Info{Attrs: map[string]string{catalog.AttrContainerID: id, catalog.AttrService: service}})
		fs = append(fs, &analysis.Finding{Analyzer: blocked, Subject: e})
	}
	got := Keys(fs, x)
	slices.Sort(got)
	want := []string{"event-loop-blocked/container:" + id, "event-loop-blocked/container:user@1000.service/" + id}
	if !slices.Equal(got, want) {
		t.Errorf("keys = %q, want %q", got, want)
	}
}

// TestListener: people look for the address and the program; the socket's own
// number, which a restart changes, is in neither.
func TestListener(t *testing.T) {
	h := newHost()
	id := h.x.ID(observe.Entity{Kind: observe.Listener, ID: "[::1]:8080#4711"})
	h.x.Describe(id, observe.Info{Parent: h.x.Entity(h.server), Attrs: map[string]string{catalog.AttrAddress: "::1", catalog.AttrPort: "8080"}})
	s := subject(h.result(), id)
	if got, want := s.String(), "listener [::1]:8080 of node server.js (pid 4242)"; got != want {
		t.Errorf("subject = %q, want %q", got, want)
	}
	if s.Address != "[::1]:8080" || s.PID != 4242 || s.Container != "api" {
		t.Errorf("subject = %+v", s)
	}
	keys := Keys([]*analysis.Finding{{Analyzer: blocked, Subject: id}}, h.x)
	if want := "event-loop-blocked/listener:api/node server.js/[::1]:8080"; keys[0] != want {
		t.Errorf("key = %q, want %q", keys[0], want)
	}
}

func TestHuman(t *testing.T) {
	for _, c := range []struct {
		value float64
		unit  string
		want  string
	}{
		{0, "s", "0 s"}, {0.00035, "s", "350 µs"}, {0.412, "s", "412 ms"}, {0.9996, "s", "1 s"}, {1.2, "s", "1.2 s"},
		{59.99, "s", "60 s"}, {90, "s", "1 min 30 s"}, {3600, "s", "1 h"}, {7500, "s", "2 h 5 min"}, {200000, "s", "2 d 8 h"},
		{268435456, "By", "256 MiB"}, {1023, "By", "1023 B"}, {25e9, "By", "23.3 GiB"},
		{0.384, "1", "38%"}, {1.5, "1", "150%"}, {0.0123, "1", "1.2%"}, {0.0004, "1", "0.04%"}, {0, "1", "0%"}, {0.0996, "1", "10%"},
		{1, "{cpu}", "1 core"}, {1.25, "{cpu}", "1.25 cores"}, {0.5, "{cpu}", "0.5 cores"},
		{114, "{count}", "114"}, {123456, "{count}", "123456"}, {3, "{fault}", "3 faults"}, {2, "threads", "2 threads"}, {2, "{descriptors an hour}", "2 descriptors an hour"},
		{0.1 + 0.2, "", "0.3"},
	} {
		if got := Human(c.value, c.unit); got != c.want {
			t.Errorf("Human(%v, %q) = %q, want %q", c.value, c.unit, got, c.want)
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
	golden(t, "explain.txt", func(w io.Writer) error { return Explain(w, a, Style{Width: 60}) })
}
