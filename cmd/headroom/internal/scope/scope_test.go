// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"strconv"
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

// hostOf returns a host with a container that has a process with a loop, and with an
// unrelated process.
func hostOf() (x *observe.Index, container, server, loop, stranger, node observe.ID) {
	x = observe.NewIndex(10)
	add := func(k observe.EntityKind, id string, parent observe.ID, attrs map[string]string) observe.ID {
		e := x.ID(observe.Entity{Kind: k, ID: id})
		info := observe.Info{Attrs: attrs}
		if parent != observe.None {
			info.Parent = x.Entity(parent)
		}
		x.Describe(e, info)
		return e
	}
	node = add(observe.Node, catalog.NodeID, observe.None, nil)
	container = add(observe.Cgroup, "/docker/3f8a", node, map[string]string{catalog.AttrContainerID: "3f8a2c", catalog.AttrContainerName: "api", catalog.AttrPodUID: "u-1"})
	server = add(observe.Process, "42:1", container, map[string]string{catalog.AttrPID: "42", catalog.AttrCommand: "node server.js", catalog.AttrExecutable: "node"})
	loop = add(observe.Loop, "42:1/42", server, nil)
	stranger = add(observe.Process, "77:1", node, map[string]string{catalog.AttrPID: "77", catalog.AttrCommand: "burn"})
	return x, container, server, loop, stranger, node
}

func TestTargets(t *testing.T) {
	x, container, _, loop, stranger, node := hostOf()
	for _, target := range []Target{{PID: 42}, {Command: "server.js"}, {Container: "3f8a"}, {Container: "api"}, {Pod: "u-1"}, {PID: 42, Pod: "u-1"}} {
		keep := Concerns(x, target.Members(x))
		if !keep(loop) || !keep(container) || !keep(node) || keep(stranger) {
			t.Errorf("%s keeps loop %v, container %v, host %v, stranger %v, want all but the stranger",
				target, keep(loop), keep(container), keep(node), keep(stranger))
		}
	}
	for _, target := range []Target{{PID: 43}, {Command: "redis"}, {Container: "f8a"}, {Container: "other"}, {Pod: "u"}, {PID: 77, Pod: "u-1"}} {
		if members := target.Members(x); len(members) > 0 {
			t.Errorf("%s names %d entities, want none", target, len(members))
		}
	}
}

// TestPresent checks that a container without a running process, or whose processes
// have ended, is not reported as healthy.
func TestPresent(t *testing.T) {
	for name, c := range map[string]struct {
		of     Target
		seen   bool // the server, in addition to the unrelated process
		ended  bool
		doubts string
	}{
		"runs":              {Target{Container: "api"}, true, false, ""},
		"ended":             {Target{Pod: "u-1"}, true, true, "node server.js (pid 42) ended while it was observed"},
		"nothing ran":       {Target{Container: "api"}, false, false, "no running process of container api was seen"},
		"never seen to run": {Target{Command: "server.js"}, false, false, "no running process of command"},
	} {
		x, _, server, _, stranger, _ := hostOf()
		s := observe.NewSnapshot(x)
		s.Set(catalog.ProcessThreads, stranger, 1)
		if c.seen {
			s.Set(catalog.ProcessThreads, server, 1)
		}
		w := observe.NewWindow(x)
		w.Add(observe.NewDiffer(x).Step(s))
		if c.ended {
			w.Ended = append(w.Ended, observe.Ended{ID: server})
		}
		r := &analysis.Result{Window: w}
		c.of.Present(r, c.of.Members(x))
		switch doubts := r.Sight.Doubts; {
		case c.doubts == "" && len(doubts) > 0, c.doubts != "" && (len(doubts) != 1 || !strings.HasPrefix(doubts[0].Reason, c.doubts)):
			t.Errorf("%s: doubts = %+v, want %q", name, doubts, c.doubts)
		}
	}
}

// TestEnding checks that many ended processes are reported in one line.
func TestEnding(t *testing.T) {
	x := observe.NewIndex(10)
	w, ended := observe.NewWindow(x), make(map[observe.ID]bool)
	for i := range 5 {
		id := x.ID(observe.Entity{Kind: observe.Process, ID: strconv.Itoa(i+1) + ":1"})
		x.Describe(id, observe.Info{Attrs: map[string]string{catalog.AttrPID: strconv.Itoa(i + 1), catalog.AttrCommand: "sh"}})
		ended[id] = true
	}
	want := "sh (pid 1), sh (pid 2), sh (pid 3) and 2 more ended while they were observed: only the time before is known"
	if got := ending("process", w, ended).Reason; got != want {
		t.Errorf("ending = %q, want %q", got, want)
	}
}

// TestOnlyTheFirstOfAPID checks that a pid that is reused during the observation still
// refers to the first process.
func TestOnlyTheFirstOfAPID(t *testing.T) {
	x := observe.NewIndex(10)
	add := func(id string, attrs map[string]string) observe.ID {
		e := x.ID(observe.Entity{Kind: observe.Process, ID: id})
		x.Describe(e, observe.Info{Attrs: attrs})
		return e
	}
	second := add("42:1100", map[string]string{catalog.AttrPID: "42", catalog.AttrCommand: "next"})
	first := add("42:900", map[string]string{catalog.AttrPID: "42", catalog.AttrCommand: "server"})
	thread := add("7:1", map[string]string{catalog.AttrPID: "7", catalog.AttrCommand: "[kworker/0:1]", catalog.AttrKernelThread: "true"})
	if m := (Target{PID: 42}).Members(x); len(m) != 1 || !m[first] || m[second] {
		t.Errorf("members = %v, want %v alone", m, first)
	}
	kworkers := Target{Command: "kworker"}
	if m := kworkers.Members(x); len(m) > 0 || m[thread] {
		t.Errorf("members = %v, want no kernel thread", m)
	}
	if err := kworkers.NotFound(x); !strings.Contains(err.Error(), "only kernel threads match") {
		t.Errorf("NotFound = %v", err)
	}
}
