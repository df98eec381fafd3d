// SPDX-License-Identifier: Apache-2.0

// Package scope resolves the entities that --pid, --command, --container and --pod
// name.
package scope

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// A Target narrows a diagnosis. All fields that are set must match; the zero Target
// is the whole host.
type Target struct {
	PID                     int
	Command, Container, Pod string
}

// Everything reports whether t is the whole host.
func (t Target) Everything() bool { return t == Target{} }

// String describes the target.
func (t Target) String() string {
	var parts []string
	if t.PID != 0 {
		parts = append(parts, fmt.Sprintf("pid %d", t.PID))
	}
	if t.Command != "" {
		parts = append(parts, fmt.Sprintf("command %q", t.Command))
	}
	if t.Container != "" {
		parts = append(parts, "container "+t.Container)
	}
	if t.Pod != "" {
		parts = append(parts, "pod "+t.Pod)
	}
	return strings.Join(parts, " and ")
}

// Members returns the processes that the target names, and for containers and pods
// their cgroups too.
func (t Target) Members(x *observe.Index) map[observe.ID]bool {
	members := make(map[observe.ID]bool)
	for id := range observe.ID(x.Len()) {
		if t.matches(x, id) && x.Attr(id, catalog.AttrKernelThread) == "" {
			members[id] = true
		}
	}
	if t.PID != 0 {
		keepFirst(x, members)
	}
	return members
}

func (t Target) matches(x *observe.Index, id observe.ID) bool {
	switch x.Entity(id).Kind {
	case observe.Process:
		return t.matchesProcess(x, id) && t.matchesPlace(x, id)
	case observe.Cgroup:
		return t.PID == 0 && t.Command == "" && t.matchesPlace(x, id)
	default:
		return false
	}
}

func (t Target) matchesProcess(x *observe.Index, id observe.ID) bool {
	if t.PID != 0 && x.Attr(id, catalog.AttrPID) != strconv.Itoa(t.PID) {
		return false
	}
	return t.Command == "" || slices.ContainsFunc([]string{catalog.AttrProgram, catalog.AttrCommand, catalog.AttrExecutable},
		func(key string) bool { return strings.Contains(x.Attr(id, key), t.Command) })
}

func (t Target) matchesPlace(x *observe.Index, id observe.ID) bool {
	if t.Container != "" {
		containerID, ok := nearest(x, id, catalog.AttrContainerID)
		name, named := nearest(x, id, catalog.AttrContainerName)
		if !(ok && strings.HasPrefix(containerID, t.Container)) && !(named && name == t.Container) {
			return false
		}
	}
	if t.Pod != "" {
		uid, _ := nearest(x, id, catalog.AttrPodUID)
		name, _ := nearest(x, id, catalog.AttrPodName)
		return uid == t.Pod || name == t.Pod
	}
	return true
}

// nearest returns an attribute of id or of the closest entity around it.
func nearest(x *observe.Index, id observe.ID, key string) (string, bool) {
	for ok := true; ok; id, ok = x.Parent(id) {
		if v := x.Attr(id, key); v != "" {
			return v, true
		}
	}
	return "", false
}

// Concerns returns a filter that keeps findings about a member, about entities
// inside or around a member, and about the host and its CPUs, which all services
// share.
func Concerns(x *observe.Index, members map[observe.ID]bool) func(observe.ID) bool {
	return func(id observe.ID) bool {
		if k := x.Entity(id).Kind; k == observe.Node || k == observe.CPU {
			return true
		}
		for m := range members {
			if x.Within(id, m) || x.Within(m, id) {
				return true
			}
		}
		return false
	}
}

// NotFound returns an error that reports that nothing matches, and lists what
// would.
func (t Target) NotFound(x *observe.Index) error {
	if t.Container != "" && !anyHas(x, catalog.AttrContainerName) {
		return fmt.Errorf("nothing matches %s: names of containers are not known here, use the beginning of the container's ID", t)
	}
	if t.Pod != "" && !anyHas(x, catalog.AttrPodName) {
		return fmt.Errorf("nothing matches %s: names of pods are not known here, use the pod's UID (kubectl get pod NAME -o jsonpath={.metadata.uid})", t)
	}
	for id := range observe.ID(x.Len()) {
		if t.matches(x, id) {
			return fmt.Errorf("only kernel threads match %s: they serve no requests and have no limits to judge; diagnose the whole host, which names kernel threads that take the CPU", t)
		}
	}
	return fmt.Errorf("nothing matches %s: no such process was observed", t)
}

func anyHas(x *observe.Index, key string) bool {
	for id := range observe.ID(x.Len()) {
		if x.Attr(id, key) != "" {
			return true
		}
	}
	return false
}

// Appears returns a watcher of snapshots that fails at the second snapshot if
// nothing has matched by then, instead of after the whole observation.
func (t Target) Appears() func(*observe.Snapshot) error {
	seen := 0
	return func(s *observe.Snapshot) error {
		seen++
		if seen == 2 && !t.Everything() && len(t.Members(s.Index)) == 0 {
			return t.NotFound(s.Index)
		}
		return nil
	}
}
