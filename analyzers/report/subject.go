// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

// A Subject is the subject of a finding, with everything that helps to find it.
type Subject struct {
	Kind      string `json:"kind"`
	PID       int    `json:"pid,omitempty"`
	PIDs      []int  `json:"pids,omitempty"` // instead of PID, of several processes
	TID       int    `json:"tid,omitempty"`
	Name      string `json:"name,omitempty"`
	Command   string `json:"command,omitempty"`
	Program   string `json:"program,omitempty"` // outside of containers, if it is not Command: see catalog.Program
	Runtime   string `json:"runtime,omitempty"`
	Service   string `json:"service,omitempty"`
	Container string `json:"container,omitempty"`
	// ContainerID is the ID of a container with a name.
	ContainerID string `json:"container_id,omitempty"`
	Pod         string `json:"pod,omitempty"`
	Namespace   string `json:"namespace,omitempty"`
	Workload    string `json:"workload,omitempty"` // deployment/shop
	Cgroup      string `json:"cgroup,omitempty"`
	Address     string `json:"address,omitempty"`
	Device      string `json:"device,omitempty"`
}

// subject describes an entity by its own attributes and those of the entities
// around it: a loop has the pid of its process and the pod of that process's
// container.
func subject(r *analysis.Result, id observe.ID) Subject {
	x := r.Window.Index
	in := func(key string) string { return x.Inherited(id, key) }
	s := Subject{
		Kind:      kindOf(x, id),
		Service:   in(catalog.AttrService),
		Container: cmp.Or(in(catalog.AttrContainerName), in(catalog.AttrContainerID)),
		Pod:       cmp.Or(in(catalog.AttrPodName), in(catalog.AttrPodUID)),
		Namespace: in(catalog.AttrNamespace),
		Workload:  in(catalog.AttrWorkload),
		Cgroup:    in(catalog.AttrCgroup),
		Command:   commandOf(x, id),
		Runtime:   in(catalog.AttrRuntime),
	}
	if program := programOf(x, id); program != s.Command && !catalog.Contained(x, id) {
		s.Program = program
	}
	if id := in(catalog.AttrContainerID); id != s.Container {
		s.ContainerID = id
	}
	s.PID, _ = strconv.Atoi(in(catalog.AttrPID))
	s.TID, _ = strconv.Atoi(in(catalog.AttrTID))
	s.name(r, id)
	return s
}

// about describes the subject of a finding; for several subjects, what they have in
// common.
func about(r *analysis.Result, f *analysis.Finding) Subject {
	s := subject(r, f.Subject)
	if len(f.Subjects) == 0 {
		return s
	}
	shared := subject(r, f.Subjects[0])
	for _, id := range f.Subjects[1:] {
		shared.keepShared(subject(r, id))
	}
	if !slices.Contains(f.Subjects, f.Subject) && r.Window.Index.Entity(f.Subject).Kind == observe.Cgroup {
		s.PIDs = pids(r, f.Subjects) // the container or service that they are in
		return s
	}
	if shared.PID == 0 {
		shared.PIDs = pids(r, f.Subjects)
	}
	return shared
}

// keepShared clears the fields that differ from another subject of the same
// finding.
func (s *Subject) keepShared(o Subject) {
	for _, both := range []struct {
		own   *string
		other string
	}{
		{&s.Name, o.Name}, {&s.Command, o.Command}, {&s.Program, o.Program}, {&s.Runtime, o.Runtime}, {&s.Service, o.Service}, {&s.Container, o.Container},
		{&s.ContainerID, o.ContainerID}, {&s.Pod, o.Pod}, {&s.Namespace, o.Namespace}, {&s.Workload, o.Workload}, {&s.Cgroup, o.Cgroup},
		{&s.Address, o.Address},
	} {
		if *both.own != both.other {
			*both.own = ""
		}
	}
	if s.PID != o.PID {
		s.PID = 0
	}
	if s.TID != o.TID {
		s.TID = 0
	}
}

// pids returns those of the subjects, in order, each once.
func pids(r *analysis.Result, ids []observe.ID) []int {
	var all []int
	for _, id := range ids {
		if pid := subject(r, id).PID; pid != 0 {
			all = append(all, pid)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// subjects describes each subject of a finding about several.
func subjects(r *analysis.Result, f *analysis.Finding) []Subject {
	var all []Subject
	for _, id := range f.Subjects {
		all = append(all, subject(r, id))
	}
	return all
}

// name sets the name, and the fields that only this kind has.
func (s *Subject) name(r *analysis.Result, id observe.ID) {
	x := r.Window.Index
	e := x.Entity(id)
	switch e.Kind {
	case observe.Node:
		s.Name = r.Host.Name
	case observe.Cgroup:
		s.Name = cmp.Or(x.Attr(id, catalog.AttrContainerName), s.Service, x.Attr(id, catalog.AttrContainerID), path.Base("/"+s.Cgroup))
	case observe.Process, observe.Loop:
		s.Name = x.Inherited(id, catalog.AttrExecutable)
	case observe.Thread:
		s.Name = cmp.Or(x.Attr(id, catalog.AttrThreadName), x.Inherited(id, catalog.AttrExecutable))
	case observe.Disk, observe.NIC:
		s.Name, s.Device = e.ID, e.ID
	case observe.Filesystem:
		s.Name, s.Device = x.Attr(id, catalog.AttrMountpoint), x.Attr(id, catalog.AttrDevice)
	case observe.Listener:
		s.Address = addressOf(x, id)
		s.Name = s.Address
	case observe.Upstream:
		s.Name, s.Address = e.ID, e.ID
	case observe.Client:
		s.Address = catalog.HostPort(x.Attr(id, catalog.AttrDestination), x.Attr(id, catalog.AttrDestPort), e.ID)
		s.Name = s.Address
	case observe.Queue:
		s.Name, s.Address = e.ID, addressOf(x, id)
	default:
		s.Name = e.ID
	}
}

func addressOf(x *observe.Index, listener observe.ID) string {
	return catalog.HostPort(x.Attr(listener, catalog.AttrAddress), x.Attr(listener, catalog.AttrPort), x.Entity(listener).ID)
}

// kindOf converts the kind of an entity to the term in the report.
func kindOf(x *observe.Index, id observe.ID) string {
	switch k := x.Entity(id).Kind; k {
	case observe.Node:
		return "host"
	case observe.CPU:
		return "core"
	case observe.Cgroup:
		if x.Attr(id, catalog.AttrContainerID) != "" {
			return "container"
		}
		return "cgroup"
	default:
		return k.String()
	}
}

// String returns the display name of the subject.
func (s Subject) String() string {
	switch s.Kind {
	case "process", "loop":
		return s.program()
	case "thread":
		if s.TID == 0 {
			return fmt.Sprintf("threads %s of %s", s.Name, s.program())
		}
		return fmt.Sprintf("thread %s (tid %d) of %s", s.Name, s.TID, s.program())
	case "listener":
		if s.PID == 0 && len(s.PIDs) == 0 {
			return "listener " + s.Address
		}
		return fmt.Sprintf("listener %s of %s", s.Address, s.program())
	case "container":
		return "container " + catalog.ShortContainerName(s.Container)
	case "cgroup":
		if s.Pod != "" {
			return "pod " + s.Pod
		}
		return "cgroup " + cmp.Or(s.Service, s.Cgroup, s.Name)
	case "core":
		return "core " + s.Name
	case "host":
		return cmp.Or(s.Name, "the host")
	default:
		return s.Kind + " " + s.Name
	}
}

func (s Subject) program() string {
	name := cmp.Or(s.Command, s.Name, s.Kind)
	if len(s.PIDs) > 0 {
		return analysis.GroupOf(name, s.PIDs)
	}
	if s.PID == 0 {
		return name
	}
	return fmt.Sprintf("%s (pid %d)", name, s.PID)
}
