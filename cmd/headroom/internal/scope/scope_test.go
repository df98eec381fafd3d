// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// hostOf is a container with a process and its loop, and a stranger.
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

// TestEnding: a process that dies while it is watched is told, not a crash.
func TestEnding(t *testing.T) {
	x, _, server, _, stranger, _ := hostOf()
	w := observe.NewWindow(x)
	w.Ended = []observe.Ended{{ID: stranger}, {ID: server}}
	gaps := Endings(w, map[observe.ID]bool{server: true})
	if len(gaps) != 1 || !strings.HasPrefix(gaps[0].Reason, "node server.js (pid 42) ended") {
		t.Errorf("gaps = %+v, want one for node server.js", gaps)
	}
}
