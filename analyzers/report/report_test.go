// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/report"
	"github.com/headroom-project/headroom/analyzers/report/reporttest"
)

func TestGolden(t *testing.T) {
	for name, build := range reporttest.Results {
		reporttest.Golden(t, name+".json", report.New(build(), report.Options{Version: "1.2.3"}).JSON)
	}
}

// TestNoEscapeFromNames checks that escape sequences in the names of programs are
// removed.
func TestNoEscapeFromNames(t *testing.T) {
	var out bytes.Buffer
	if err := report.New(reporttest.Critical(), report.Options{}).JSON(&out); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("JSON has an escape sequence of a process's name")
	}
}

// TestKeysTellWorkersApart checks that the workers of a cluster, which have the same
// command, get different keys that do not depend on their rank.
func TestKeysTellWorkersApart(t *testing.T) {
	x := observe.NewIndex(10)
	var fs []*analysis.Finding
	for _, id := range []string{"1000:7", "99:5", "500:6"} {
		e := x.ID(observe.Entity{Kind: observe.Process, ID: id})
		x.Describe(e, observe.Info{Attrs: map[string]string{catalog.AttrCommand: "node app.js", catalog.AttrService: "shop.service"}})
		fs = append(fs, &analysis.Finding{Analyzer: reporttest.Blocked, Cause: "on-cpu", Subject: e})
	}
	got := report.Keys(fs, x)
	base := "event-loop-blocked/process:shop.service/node app.js"
	want := []string{base + "#3", base, base + "#2"}
	if !slices.Equal(got, want) {
		t.Errorf("keys = %q, want %q", got, want)
	}
}

// TestKeyOfAGroup checks that the key does not depend on which and how many workers
// have a problem, because this changes from window to window.
func TestKeyOfAGroup(t *testing.T) {
	r := reporttest.Grouped()
	f := r.Findings[1]
	want := report.Keys([]*analysis.Finding{f}, r.Window.Index)[0]
	for _, members := range [][]observe.ID{f.Subjects[1:], f.Subjects[:2], {f.Subjects[3]}} {
		some := &analysis.Finding{Analyzer: f.Analyzer, Cause: f.Cause, Subject: members[0]}
		if len(members) > 1 {
			some.Subjects = members
		}
		if got := report.Keys([]*analysis.Finding{some}, r.Window.Index)[0]; got != want {
			t.Errorf("key of %d of the workers = %q, want %q", len(members), got, want)
		}
	}
}

// TestGivenKeys checks that keys given by the caller are used instead of computed ones.
func TestGivenKeys(t *testing.T) {
	h := reporttest.NewHost()
	r := h.Result()
	r.Findings = []*analysis.Finding{{Analyzer: reporttest.Blocked, Subject: h.Loop}, {Analyzer: reporttest.Throttled, Subject: h.API}}
	own := report.Keys(r.Findings, h.Index)
	for _, keys := range [][]string{nil, {"one", "two"}} {
		want := keys
		if want == nil {
			want = own
		}
		rep := report.New(r, report.Options{Keys: keys})
		if got := []string{rep.Findings[0].Key, rep.Findings[1].Key}; !slices.Equal(got, want) {
			t.Errorf("with keys %q the findings have %q, want %q", keys, got, want)
		}
	}
}

// TestKeyOutlivesThePod checks that the key stays the same for the next pod: in a
// Deployment it has another name and UID, in a StatefulSet the same name.
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
		keys := report.Keys([]*analysis.Finding{{Analyzer: a, Subject: server}, {Analyzer: a, Subject: pod}}, x)
		if keys[0] != c.want {
			t.Errorf("key of a process in %s = %q, want %q", c.pod, keys[0], c.want)
		}
		if want := strings.TrimSuffix(strings.Replace(c.want, "process", "cgroup", 1), "/api/node server.js"); keys[1] != want {
			t.Errorf("key of the pod %s = %q, want %q", c.pod, keys[1], want)
		}
	}
}

// TestKeyOfAUsersContainer checks that two containers with the same ID get different
// keys: a user can choose the ID of another container.
func TestKeyOfAUsersContainer(t *testing.T) {
	x := observe.NewIndex(10)
	const id = "8f6a1c9c2d9c4a7bb8f2b8d3f0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3"
	var fs []*analysis.Finding
	for path, service := range map[string]string{"/docker/" + id: "", "/user/docker-" + id: "user@1000.service"} {
		e := x.ID(observe.Entity{Kind: observe.Cgroup, ID: path})
		x.Describe(e, observe.Info{Attrs: map[string]string{catalog.AttrContainerID: id, catalog.AttrService: service}})
		fs = append(fs, &analysis.Finding{Analyzer: reporttest.Blocked, Subject: e})
	}
	got := report.Keys(fs, x)
	slices.Sort(got)
	want := []string{"event-loop-blocked/container:" + id, "event-loop-blocked/container:user@1000.service/" + id}
	if !slices.Equal(got, want) {
		t.Errorf("keys = %q, want %q", got, want)
	}
}

// TestListener checks that subject and key of a listener have its address and program,
// and not the number of its socket, which changes at a restart.
func TestListener(t *testing.T) {
	h := reporttest.NewHost()
	id := h.Index.ID(observe.Entity{Kind: observe.Listener, ID: "[::1]:8080#4711"})
	h.Index.Describe(id, observe.Info{Parent: h.Index.Entity(h.Server), Attrs: map[string]string{catalog.AttrAddress: "::1", catalog.AttrPort: "8080"}})
	r := h.Result()
	r.Findings = []*analysis.Finding{{Analyzer: reporttest.Blocked, Subject: id}}
	s := report.New(r, report.Options{}).Findings[0].Subject
	if got, want := s.String(), "listener [::1]:8080 of node server.js (pid 4242)"; got != want {
		t.Errorf("subject = %q, want %q", got, want)
	}
	if s.Address != "[::1]:8080" || s.PID != 4242 || s.Container != "api" {
		t.Errorf("subject = %+v", s)
	}
	keys := report.Keys(r.Findings, h.Index)
	if want := "event-loop-blocked/listener:api/node server.js/[::1]:8080"; keys[0] != want {
		t.Errorf("key = %q, want %q", keys[0], want)
	}
}
