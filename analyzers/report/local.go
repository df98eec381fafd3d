// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"slices"
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

// A Local is a finding's text without the names of other namespaces: users who may
// read the Events of a namespace must not learn what else runs on its nodes.
type Local struct {
	Summary string
	// Action is the action of the first recommendation, "" for none.
	Action string
	// Cause names the subject of the finding that explains this one, "" for none.
	Cause string
}

// Replacements for names of other namespaces.
const (
	anotherPod     = "another pod of this node"
	anotherCgroup  = "another cgroup of this node"
	anotherProcess = "another process of this node"
)

func local(r *analysis.Result, f *analysis.Finding) *Local {
	x := r.Window.Index
	namespace := x.Inherited(f.Subject, catalog.AttrNamespace)
	if namespace == "" {
		return nil
	}
	v := vicinity{x, f.Subject, namespace}
	names := v.names(f.Names)
	l := &Local{Summary: names.Replace(f.Summary)}
	if len(f.Recommendations) > 0 {
		l.Action = names.Replace(f.Recommendations[0].Action)
	}
	if root := f.SymptomOf; root != nil {
		if l.Cause = v.instead(root.Subject); l.Cause == "" {
			l.Cause = about(r, root).String()
		}
	}
	return l
}

// A vicinity is what readers of a namespace may know: what runs in it, the
// cgroups around the subject, and the hardware.
type vicinity struct {
	*observe.Index
	subject   observe.ID
	namespace string
}

// instead returns the replacement of id's name, "" if readers may know it.
func (v vicinity) instead(id observe.ID) string {
	kind := v.Entity(id).Kind
	switch kind {
	case observe.Cgroup, observe.Process, observe.Thread, observe.Loop, observe.Listener, observe.Cache, observe.Client, observe.OpenFiles, observe.Statement:
	default:
		return ""
	}
	switch {
	case v.Inherited(id, catalog.AttrNamespace) == v.namespace, v.Within(v.subject, id):
		return ""
	case v.Inherited(id, catalog.AttrPodUID) != "" || v.Inherited(id, catalog.AttrPodName) != "":
		return anotherPod
	case kind == observe.Cgroup:
		return anotherCgroup
	}
	return anotherProcess
}

// names replaces the names of other namespaces. It does not match a part of a
// longer name, and keeps a name that also exists in this namespace.
func (v vicinity) names(all map[analysis.Named]bool) *strings.Replacer {
	instead := make(map[string]string, len(all))
	for n := range all {
		if other := v.instead(n.ID); other == "" {
			instead[n.Name] = n.Name
		} else if _, known := instead[n.Name]; !known {
			instead[n.Name] = other
		}
	}
	names := make([]string, 0, len(instead))
	for name := range instead {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	pairs := make([]string, 0, 2*len(names))
	for _, name := range names {
		pairs = append(pairs, name, instead[name])
	}
	return strings.NewReplacer(pairs...)
}
