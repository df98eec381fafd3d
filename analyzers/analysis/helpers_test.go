// SPDX-License-Identifier: Apache-2.0

package analysis_test

import (
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

// in runs f as an analyzer over the window of h.
func in(h *handmade.Host, f func(*analysis.Pass)) {
	h.Run(&analysis.Analyzer{Name: "test", Run: func(p *analysis.Pass) []analysis.Finding {
		f(p)
		return nil
	}})
}

func TestTexts(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{analysis.Seconds(0.000412), "412 µs"},
		{analysis.Seconds(0.412), "412 ms"},
		{analysis.Seconds(0.9996), "1 s"},
		{analysis.Seconds(1.34), "1.3 s"},
		{analysis.Seconds(16.2), "16 s"},
		{analysis.Percent(0.414), "41%"},
		{analysis.Percent(0.004), "0.4%"},
		{analysis.Percent(0), "0%"},
		{analysis.Cores(1), "1 core"},
		{analysis.Cores(0.2), "0.2 cores"},
		{analysis.Number(1, "tick", "ticks"), "1 tick"},
		{analysis.Number(3, "tick", "ticks"), "3 ticks"},
		{analysis.List([]string{"a", "b", "c"}), "a, b and c"},
		{analysis.List(nil), ""},
		{analysis.Bytes(512 << 20), "512 MiB"},
		{analysis.Bytes(1.5 * (1 << 30)), "1.5 GiB"},
		{analysis.Bytes(900), "900 B"},
		{analysis.Ahead(40), "40 s"},
		{analysis.Ahead(720), "12 min"},
		{analysis.Ahead(3 * 3600), "3 h"},
		{analysis.Ahead(2 * 86400), "2 days"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestNames(t *testing.T) {
	h := handmade.New(t, 1, 2)
	pod := h.Add(observe.Cgroup, "/kubepods/pod1", observe.None, catalog.AttrPodUID, "1")
	container := h.Add(observe.Cgroup, "/kubepods/pod1/0123456789abcdef", pod, catalog.AttrContainerID, "0123456789abcdef")
	process := h.Process("42", "node", "node server.js", container)
	loop := h.Loop(process)
	thread := h.Add(observe.Thread, "t", process, catalog.AttrTID, "43", catalog.AttrThreadName, "worker")
	bare := h.Add(observe.Cgroup, "/user.slice", observe.None, catalog.AttrCgroup, "/user.slice")
	in(h, func(p *analysis.Pass) {
		for id, want := range map[observe.ID]string{
			pod: "pod 1", container: "container 0123456789ab", process: "node server.js (pid 42)", loop: "node server.js (pid 42)",
			thread: "thread worker (tid 43) of node server.js (pid 42)", bare: "cgroup /user.slice", h.Node(): "this host",
			observe.None: "an unknown process",
		} {
			if got := p.Name(id); got != want {
				t.Errorf("name = %q, want %q", got, want)
			}
		}
	})
}

func TestAGroupIsNoRootCgroup(t *testing.T) {
	h := handmade.New(t, 1, 2)
	root := h.Add(observe.Cgroup, "/", observe.None, catalog.AttrCgroup, "/")
	master := h.Process("41", "nginx", "nginx", root)
	workers := []observe.ID{
		h.Process("42", "nginx", "nginx", root, catalog.AttrOwner, "41:1"),
		h.Process("43", "nginx", "nginx", root, catalog.AttrOwner, "41:1"),
	}
	container := h.Add(observe.Cgroup, "/c", root, catalog.AttrContainerID, "c")
	inside := []observe.ID{h.Process("51", "", "a", container), h.Process("52", "", "b", container)}
	in(h, func(p *analysis.Pass) {
		if got := p.Group(workers); got != master {
			t.Errorf("group of bare workers = %s, want their master", p.Name(got))
		}
		if got := p.Group(inside); got != container {
			t.Errorf("group in a container = %s, want the container", p.Name(got))
		}
	})
}

// TestAnalyzerThatFails checks that the other analyzers run if one panics.
func TestAnalyzerThatFails(t *testing.T) {
	bad := &analysis.Analyzer{Name: "bad", Run: func(*analysis.Pass) []analysis.Finding { panic("a mistake") }}
	asked := false
	good := &analysis.Analyzer{Name: "good", Run: func(p *analysis.Pass) []analysis.Finding { asked = true; p.Checked(); return nil }}
	r := analysis.Run([]*analysis.Analyzer{bad, good}, observe.NewWindow(observe.NewIndex(1)), observe.Host{}, analysis.Options{})
	if !asked || len(r.Gaps) != 1 || r.Gaps[0].Source != analysis.GapAnalyzer || !strings.Contains(r.Gaps[0].Reason, "a mistake") {
		t.Errorf("asked: %v, gaps: %+v", asked, r.Gaps)
	}
}
