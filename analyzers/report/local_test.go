// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

// tenants returns a node to which pods can be added, with one process of the host.
func tenants() (x *observe.Index, pod func(namespace, pod, command string, pid int) observe.ID, daemon observe.ID) {
	x = observe.NewIndex(100)
	add := func(e, parent observe.Entity, attrs map[string]string) observe.ID {
		id := x.ID(e)
		x.Describe(id, observe.Info{Parent: parent, Attrs: attrs})
		return id
	}
	process := func(parent observe.Entity, command string, pid int) observe.ID {
		return add(observe.Entity{Kind: observe.Process, ID: fmt.Sprint(pid, ":1")}, parent,
			map[string]string{catalog.AttrPID: fmt.Sprint(pid), catalog.AttrCommand: command})
	}
	all := observe.Entity{Kind: observe.Cgroup, ID: "/kubepods"}
	add(all, observe.Entity{}, map[string]string{catalog.AttrCgroup: all.ID})
	return x, func(namespace, name, command string, pid int) observe.ID {
		e := observe.Entity{Kind: observe.Cgroup, ID: all.ID + "/" + name}
		add(e, all, map[string]string{catalog.AttrCgroup: e.ID, catalog.AttrNamespace: namespace, catalog.AttrPodName: name, catalog.AttrPodUID: "uid-" + name})
		return process(e, command, pid)
	}, process(observe.Entity{}, "backup", 7)
}

// TestLocal checks that the text for readers of a namespace names nothing from another
// namespace.
func TestLocal(t *testing.T) {
	x, pod, daemon := tenants()
	victim, sibling := pod("shop", "web", "node web.js", 1), pod("shop", "web-2", "node web.js", 2)
	rival := pod("rival", "secret", "node secret.js", 3)
	rivals, _ := x.Ancestor(rival, observe.Cgroup)
	parent, _ := x.Parent(rivals)
	cause := &analysis.Analyzer{Name: "host-saturated", Category: analysis.CategoryCapacity, Run: func(*analysis.Pass) []analysis.Finding {
		return []analysis.Finding{{Subject: rival, Severity: analysis.Warning, Impact: 1, Confidence: 1}}
	}}
	a := &analysis.Analyzer{Name: "run-queue-latency", Category: analysis.CategoryCPU, Run: func(p *analysis.Pass) []analysis.Finding {
		return []analysis.Finding{{
			Subject: victim, Severity: analysis.Warning, Impact: 1, Confidence: 1,
			Summary:         fmt.Sprintf("%s waits for %s, %s, %s and %s in %s", p.Name(victim), p.Name(rival), p.Name(rivals), p.Name(daemon), p.Name(sibling), p.Name(parent)),
			Recommendations: []analysis.Recommendation{{Verb: analysis.CapNeighbour, Action: "Cap " + p.Called(rival, "3 × node secret.js")}},
		}}
	}}
	w := observe.NewWindow(x)
	result := analysis.Run([]*analysis.Analyzer{a, cause}, w, observe.Host{Name: "n1"}, analysis.Options{})
	var found, root *analysis.Finding
	for _, f := range result.Findings {
		if f.Analyzer == a {
			found = f
		} else {
			root = f
		}
	}
	if found == nil || root == nil {
		t.Fatalf("findings = %v, want two", result.Findings)
	}
	found.SymptomOf = root
	l := finding(result, found).Local
	if l == nil {
		t.Fatal("no text for the namespace")
	}
	want := "node web.js (pid 1) waits for another pod of this node, another pod of this node, another process of this node and node web.js (pid 2) in cgroup /kubepods"
	if l.Summary != want {
		t.Errorf("summary = %q, want %q", l.Summary, want)
	}
	if l.Action != "Cap another pod of this node" || l.Cause != anotherPod {
		t.Errorf("action = %q, cause = %q, want another pod", l.Action, l.Cause)
	}
	if !strings.Contains(found.Summary, "secret") {
		t.Errorf("the summary for the node's administrator = %q, want the name in it", found.Summary)
	}
}

// TestLocalOfTheNode checks that there is no such text for a subject without a
// namespace.
func TestLocalOfTheNode(t *testing.T) {
	x, _, daemon := tenants()
	r := &analysis.Result{Window: observe.NewWindow(x)}
	if l := local(r, &analysis.Finding{Subject: daemon, Summary: "backup waits"}); l != nil {
		t.Errorf("text = %+v, want none", l)
	}
}
