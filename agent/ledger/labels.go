// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"cmp"
	"slices"
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

const (
	// Other is the last label of the series that collects everything beyond a limit.
	Other = "[other]"
	// kernelThreads is the program label of kernel threads, which have no executable.
	kernelThreads = "[kernel]"
)

// Labels in addition to those of entities.
const (
	LabelCPU     = "cpu.logical_number"
	LabelAddress = "server.address" // of a listener, an upstream, a database or a broker, with its port
)

// program holds the labels of a process: its place and its program.
var program = []string{catalog.AttrNamespace, catalog.AttrPodName, catalog.AttrContainerName, catalog.AttrService, catalog.AttrProgram}

// labels holds the series labels of each kind of entity. Other kinds are not
// exported: threads are part of their process.
var labels = map[observe.EntityKind][]string{
	observe.Node:       {},
	observe.CPU:        {LabelCPU},
	observe.Cgroup:     {catalog.AttrNamespace, catalog.AttrPodName, catalog.AttrContainerName, catalog.AttrService, catalog.AttrCgroup},
	observe.Process:    program,
	observe.Loop:       program,
	observe.Cache:      program,
	observe.Listener:   append(program[:len(program):len(program)], LabelAddress),
	observe.Disk:       {catalog.AttrDevice},
	observe.NIC:        {catalog.AttrInterface},
	observe.Filesystem: {catalog.AttrMountpoint},
	observe.Upstream:   {LabelAddress},
	observe.Queue:      {catalog.AttrSystem, LabelAddress, catalog.AttrQueue},
	observe.Client:     append(program[:len(program):len(program)], catalog.AttrDatabase, LabelAddress),
}

// Exported reports whether m has series.
func Exported(m *observe.Metric) bool {
	_, ok := labels[m.About]
	return ok && !m.Internal && (m.Kind != observe.PairCounter || m.Second != "")
}

// LabelNames returns the OpenTelemetry names of m's labels, in the order of
// Series.Labels, without its Attr.
func LabelNames(m *observe.Metric) []string {
	names := labels[m.About]
	if m.Kind == observe.PairCounter {
		return append(names[:len(names):len(names)], m.Second)
	}
	return names
}

// labelsOf returns the labels of the series to which id is added. ok is false for a
// cgroup inside a container, which the container's numbers include.
func labelsOf(x *observe.Index, id observe.ID) (values []string, ok bool) {
	e := x.Entity(id)
	switch e.Kind {
	case observe.Node:
		return nil, true
	case observe.Process, observe.Loop, observe.Cache:
		return programOf(x, id), true
	case observe.Listener:
		return append(programOf(x, id), catalog.HostPort(x.Attr(id, catalog.AttrAddress), x.Attr(id, catalog.AttrPort), e.ID)), true
	case observe.Upstream:
		return []string{catalog.HostPort(x.Attr(id, catalog.AttrDestination), x.Attr(id, catalog.AttrDestPort), e.ID)}, true
	case observe.Client:
		return append(programOf(x, id), x.Attr(id, catalog.AttrDatabase), catalog.HostPort(x.Attr(id, catalog.AttrDestination), x.Attr(id, catalog.AttrDestPort), e.ID)), true
	case observe.Queue:
		return []string{x.Attr(id, catalog.AttrSystem), catalog.HostPort(x.Attr(id, catalog.AttrAddress), x.Attr(id, catalog.AttrPort), ""), x.Attr(id, catalog.AttrQueue)}, true
	case observe.Filesystem:
		return []string{cmp.Or(x.Attr(id, catalog.AttrMountpoint), e.ID)}, true
	case observe.Cgroup:
		return cgroupOf(x, id), whole(x, id)
	default:
		return []string{e.ID}, true
	}
}

func programOf(x *observe.Index, id observe.ID) []string {
	process, ok := x.Ancestor(id, observe.Process)
	if !ok {
		process = id
	}
	name := catalog.Program(x, process)
	if x.Attr(process, catalog.AttrKernelThread) != "" {
		name = kernelThreads
	}
	return append(homeOf(x, process), name)
}

// homeOf returns the namespace, pod, container and service that id is in. In a
// known pod, a container without a name is its sandbox, or one that has just
// started: its ID changes at each start, and a series for it would be useless.
func homeOf(x *observe.Index, id observe.ID) []string {
	in := func(key string) string { return x.Inherited(id, key) }
	container, service, uid := in(catalog.AttrContainerID), in(catalog.AttrService), in(catalog.AttrPodUID)
	if container != "" {
		service = x.Attr(id, catalog.AttrService) // not the service of the engine around it
	}
	name, pod := in(catalog.AttrContainerName), in(catalog.AttrPodName)
	if name == "" && pod == "" {
		name = catalog.ShortContainerID(container)
	}
	return []string{in(catalog.AttrNamespace), cmp.Or(pod, catalog.ShortPodUID(uid)), name, service}
}

// cgroupOf returns the container, pod or service of a cgroup, or its path if it is
// none of them: a path contains IDs that change at each start.
func cgroupOf(x *observe.Index, id observe.ID) []string {
	home := homeOf(x, id)
	if strings.Join(home, "") != "" {
		return append(home, "")
	}
	return append(home, cmp.Or(x.Attr(id, catalog.AttrCgroup), x.Entity(id).ID))
}

// whole reports whether a cgroup is a container, or is outside of all containers,
// pods and services: their numbers already include those of cgroups inside them.
func whole(x *observe.Index, id observe.ID) bool {
	has := func(key string) bool { return x.Attr(id, key) != "" }
	if has(catalog.AttrContainerID) && has(catalog.AttrPodName) && !has(catalog.AttrContainerName) {
		return false // counted for the pod while it has no name
	}
	outer := []string{catalog.AttrContainerID}
	if !has(catalog.AttrContainerID) {
		outer = []string{catalog.AttrContainerID, catalog.AttrPodUID, catalog.AttrService}
	}
	up, ok := x.Parent(id)
	for _, key := range outer {
		if ok && x.Inherited(up, key) != "" {
			return false
		}
	}
	return true
}

// nameOf joins the labels of labelsOf into one: namespace/pod/container, the
// service, or the program.
func nameOf(x *observe.Index, id observe.ID) string {
	e := x.Entity(id)
	if e.Kind != observe.Process && e.Kind != observe.Cgroup {
		return e.ID
	}
	all, _ := labelsOf(x, id)
	last := len(all) - 1
	home := slices.DeleteFunc(all[:last:last], func(s string) bool { return s == "" })
	return cmp.Or(strings.Join(home, "/"), all[last])
}
