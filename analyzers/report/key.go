// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

// Keys returns the key of each finding: its ID and its subject, identified by
// properties that survive a restart, so never by a pid. It does not depend on which
// processes of a service have the finding: they have the same key, alone and
// together. Subjects with equal keys (two servers with one command) are numbered,
// oldest first, the order in which a supervisor starts them again.
func Keys(fs []*analysis.Finding, x *observe.Index) []string {
	keys := make([]string, len(fs))
	same := make(map[string][]int)
	for i, f := range fs {
		keys[i] = f.Analyzer.Name + "/" + kindOf(x, f.Subject) + ":" + lasting(x, f.Subject)
		same[keys[i]] = append(same[keys[i]], i)
	}
	for _, places := range same {
		slices.SortStableFunc(places, func(a, b int) int {
			return cmp.Or(compareNumbered(ownerOf(x, fs[a].Subject), ownerOf(x, fs[b].Subject)), cmp.Compare(fs[a].Cause, fs[b].Cause),
				compareNumbered(x.Entity(fs[a].Subject).ID, x.Entity(fs[b].Subject).ID))
		})
		for n, i := range places[1:] {
			keys[i] = fmt.Sprintf("%s#%d", keys[i], n+2)
		}
	}
	return keys
}

// lasting returns a name of a subject that survives a restart.
func lasting(x *observe.Index, id observe.ID) string {
	e := x.Entity(id)
	switch e.Kind {
	case observe.Node:
		return catalog.NodeID
	case observe.Process, observe.Loop, observe.Thread:
		parts := []string{home(x, id), commandOf(x, id)}
		if e.Kind == observe.Thread {
			parts = append(parts, x.Attr(id, catalog.AttrThreadName))
		}
		return joined(parts)
	case observe.Listener:
		// Its entity is a socket, which a restart replaces.
		return joined([]string{home(x, id), commandOf(x, id), addressOf(x, id)})
	case observe.Cgroup:
		return cmp.Or(home(x, id), x.Attr(id, catalog.AttrCgroup), e.ID)
	default:
		return e.ID
	}
}

// commandOf returns what the process of id runs, "" for what is of no process.
func commandOf(x *observe.Index, id observe.ID) string {
	if process, ok := x.Ancestor(id, observe.Process); ok {
		return catalog.Command(x, process)
	}
	return ""
}

// programOf returns the program of the process of id, "" for what is of no process.
func programOf(x *observe.Index, id observe.ID) string {
	if process, ok := x.Ancestor(id, observe.Process); ok {
		return catalog.Program(x, process)
	}
	return ""
}

// home returns the lasting name of the container, or of the pod, or of the service,
// or the cgroup of a container without a name.
func home(x *observe.Index, id observe.ID) string {
	in := func(key string) string { return x.Inherited(id, key) }
	name, container, pod := in(catalog.AttrContainerName), in(catalog.AttrContainerID), in(catalog.AttrPodName)
	if name != "" || container == "" && pod != "" {
		return joined([]string{in(catalog.AttrNamespace), lastingPod(pod, in(catalog.AttrWorkload)), name})
	}
	service := in(catalog.AttrService)
	if strings.HasPrefix(service, "user@") {
		return joined([]string{service, container}) // users choose the IDs of containers
	}
	return cmp.Or(container, service)
}

// lastingPod returns the name of the pod or its workload: the next pod of a workload has
// another name, unless it belongs to a StatefulSet or the pod has no controller.
func lastingPod(pod, workload string) string {
	if strings.HasPrefix(workload, "statefulset/") || strings.HasPrefix(workload, "pod/") {
		return pod
	}
	return cmp.Or(workload, pod)
}

func joined(parts []string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), "/")
}

// ownerOf returns the owner of a subject. Findings of one owner differ by cause:
// the key does not depend on which of its processes is the worst.
func ownerOf(x *observe.Index, id observe.ID) string {
	process, ok := x.Ancestor(id, observe.Process)
	if !ok {
		return x.Entity(id).ID
	}
	return cmp.Or(x.Attr(process, catalog.AttrOwner), x.Entity(process).ID)
}

// compareNumbered orders IDs of entities as numbers if they start with one: IDs of
// an index would differ from run to run.
func compareNumbered(a, b string) int {
	return cmp.Or(cmp.Compare(leading(a), leading(b)), cmp.Compare(a, b))
}

func leading(s string) (n int) {
	_, _ = fmt.Sscanf(s, "%d", &n) // 0 if there is none
	return n
}
