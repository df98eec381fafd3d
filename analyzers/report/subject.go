// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

// A Subject is whom a finding is about, with everything that helps to find it.
type Subject struct {
	Kind      string `json:"kind"`
	PID       int    `json:"pid,omitempty"`
	TID       int    `json:"tid,omitempty"`
	Name      string `json:"name,omitempty"`
	Command   string `json:"command,omitempty"`
	Runtime   string `json:"runtime,omitempty"`
	Service   string `json:"service,omitempty"`
	Container string `json:"container,omitempty"`
	Pod       string `json:"pod,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Cgroup    string `json:"cgroup,omitempty"`
	Address   string `json:"address,omitempty"`
	Device    string `json:"device,omitempty"`
}

// subject describes an entity by its own attributes and those of what it is
// in: a loop has the pid of its process and the pod of that one's container.
func subject(r *analysis.Result, id observe.ID) Subject {
	x := r.Window.Index
	in := func(key string) string { return inherited(x, id, key) }
	s := Subject{
		Kind:      kindOf(x, id),
		Service:   in(catalog.AttrService),
		Container: firstOf(in(catalog.AttrContainerName), in(catalog.AttrContainerID)),
		Pod:       firstOf(in(catalog.AttrPodName), in(catalog.AttrPodUID)),
		Namespace: in(catalog.AttrNamespace),
		Cgroup:    in(catalog.AttrCgroup),
		Command:   in(catalog.AttrCommand),
		Runtime:   in(catalog.AttrRuntime),
	}
	s.PID, _ = strconv.Atoi(in(catalog.AttrPID))
	s.TID, _ = strconv.Atoi(in(catalog.AttrTID))
	s.name(r, id)
	return s
}

// name sets the name, and what the kind alone has.
func (s *Subject) name(r *analysis.Result, id observe.ID) {
	x := r.Window.Index
	e := x.Entity(id)
	switch e.Kind {
	case observe.Node:
		s.Name = r.Host.Name
	case observe.Cgroup:
		s.Name = firstOf(x.Attr(id, catalog.AttrContainerName), s.Service, x.Attr(id, catalog.AttrContainerID), path.Base("/"+s.Cgroup))
	case observe.Process, observe.Loop:
		s.Name = inherited(x, id, catalog.AttrExecutable)
	case observe.Thread:
		s.Name = firstOf(x.Attr(id, catalog.AttrThreadName), inherited(x, id, catalog.AttrExecutable))
	case observe.Disk, observe.NIC, observe.GPU:
		s.Name, s.Device = e.ID, e.ID
	case observe.Listener:
		s.Address = addressOf(x, id)
		s.Name = s.Address
	case observe.Upstream:
		s.Name, s.Address = e.ID, e.ID
	default:
		s.Name = e.ID
	}
}

func addressOf(x *observe.Index, listener observe.ID) string {
	return catalog.HostPort(x.Attr(listener, catalog.AttrAddress), x.Attr(listener, catalog.AttrPort), x.Entity(listener).ID)
}

// kindOf maps the words of observe to those of the report.
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

// maxUp bounds the walk to the top, should two entities contain each other.
const maxUp = 64

// inherited returns the attribute of the nearest entity, from id upwards,
// that has it.
func inherited(x *observe.Index, id observe.ID, key string) string {
	for range maxUp {
		if v := x.Attr(id, key); v != "" {
			return v
		}
		up, ok := x.Parent(id)
		if !ok {
			return ""
		}
		id = up
	}
	return ""
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// String names the subject as a person would look for it.
func (s Subject) String() string {
	switch s.Kind {
	case "process", "loop":
		return s.program()
	case "thread":
		return fmt.Sprintf("thread %s (tid %d) of %s", s.Name, s.TID, s.program())
	case "listener":
		if s.PID == 0 {
			return "listener " + s.Address
		}
		return fmt.Sprintf("listener %s of %s", s.Address, s.program())
	case "container":
		return "container " + short12(s.Container)
	case "cgroup":
		return "cgroup " + firstOf(s.Service, s.Cgroup, s.Name)
	case "core":
		return "core " + s.Name
	case "host":
		return firstOf(s.Name, "the host")
	default:
		return s.Kind + " " + s.Name
	}
}

func (s Subject) program() string {
	name := firstOf(s.Command, s.Name, s.Kind)
	if s.PID == 0 {
		return name
	}
	return fmt.Sprintf("%s (pid %d)", name, s.PID)
}

// within names the container, pod or service around the subject, or "".
func (s Subject) within() string {
	var in []string
	if s.Container != "" && s.Kind != "container" {
		in = append(in, "container "+short12(s.Container))
	}
	if s.Pod != "" {
		in = append(in, "pod "+strings.TrimPrefix(s.Namespace+"/"+s.Pod, "/"))
	}
	if len(in) == 0 && s.Service != "" && s.Kind != "cgroup" {
		in = append(in, "service "+s.Service)
	}
	return strings.Join(in, ", ")
}

// where is String and within.
func (s Subject) where() string {
	if in := s.within(); in != "" {
		return s.String() + " in " + in
	}
	return s.String()
}

// containerIDLength is that of a full container ID; people use twelve of it.
const containerIDLength = 64

func short12(container string) string {
	if len(container) == containerIDLength && !strings.ContainsAny(container, "-_. ") {
		return container[:12]
	}
	return container
}
