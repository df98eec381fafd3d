// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"cmp"
	"fmt"
	"path"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// Name returns the display name of id: node server.js (pid 4242), container api. It
// never contains arguments of a command, because they can be secrets.
func (p *Pass) Name(id observe.ID) string { return p.Called(id, p.name(id)) }

// A Named is a name in a text, and the entity that it names.
type Named struct {
	Name string
	ID   observe.ID
}

// Called records that the analyzer's texts may use this name for id (see
// Finding.Names), and returns the name.
func (p *Pass) Called(id observe.ID, name string) string {
	if id != observe.None {
		if p.names == nil {
			p.names = make(map[Named]bool)
		}
		p.names[Named{name, id}] = true
	}
	return name
}

func (p *Pass) name(id observe.ID) string {
	if id == observe.None {
		return "an unknown process"
	}
	switch e := p.Index.Entity(id); e.Kind {
	case observe.Node:
		return p.hostName()
	case observe.Process:
		return p.processName(id)
	case observe.Loop, observe.Thread:
		return p.threadName(id)
	case observe.Cgroup:
		return p.cgroupName(id)
	case observe.Listener:
		return p.listenerName(id)
	case observe.Filesystem:
		return "file system " + p.Attr(id, catalog.AttrMountpoint)
	default:
		return e.Kind.String() + " " + e.ID
	}
}

func (p *Pass) hostName() string {
	if p.Host.Name == "" {
		return "this host"
	}
	return "host " + p.Host.Name
}

func (p *Pass) processName(id observe.ID) string {
	name := p.Command(id)
	if pid := p.Attr(id, catalog.AttrPID); pid != "" {
		name += " (pid " + pid + ")"
	}
	return name
}

// Command returns what id's process runs; see catalog.Command.
func (p *Pass) Command(id observe.ID) string {
	process, ok := p.Index.Ancestor(id, observe.Process)
	if !ok {
		return "a process"
	}
	return cmp.Or(catalog.Command(p.Index, process), "a process")
}

// threadName adds the thread's number unless it is the main thread.
func (p *Pass) threadName(id observe.ID) string {
	process, ok := p.Index.Ancestor(id, observe.Process)
	if !ok {
		return p.Index.Entity(id).ID
	}
	tid := p.Attr(id, catalog.AttrTID)
	if tid == "" || tid == p.Attr(process, catalog.AttrPID) {
		return p.processName(process)
	}
	if name := p.Attr(id, catalog.AttrThreadName); name != "" {
		return fmt.Sprintf("thread %s (tid %s) of %s", name, tid, p.processName(process))
	}
	return fmt.Sprintf("thread %s of %s", tid, p.processName(process))
}

// listenerName returns, for example, listener 127.0.0.1:8080 of node server.js (pid
// 4242).
func (p *Pass) listenerName(id observe.ID) string {
	name := "listener " + p.Address(id)
	if process, ok := p.Index.Ancestor(id, observe.Process); ok {
		name += " of " + p.processName(process)
	}
	return name
}

// Address returns a listener's address as people write it: 127.0.0.1:8080, [::]:80.
func (p *Pass) Address(id observe.ID) string {
	return catalog.HostPort(p.Attr(id, catalog.AttrAddress), p.Attr(id, catalog.AttrPort), p.Index.Entity(id).ID)
}

func (p *Pass) cgroupName(id observe.ID) string {
	attr := func(key string) string { return p.Attr(id, key) }
	switch {
	case attr(catalog.AttrContainerName) != "":
		return "container " + attr(catalog.AttrContainerName)
	case attr(catalog.AttrContainerID) != "":
		return "container " + catalog.ShortContainerID(attr(catalog.AttrContainerID))
	case attr(catalog.AttrPodName) != "":
		return "pod " + attr(catalog.AttrPodName)
	case attr(catalog.AttrPodUID) != "":
		return "pod " + attr(catalog.AttrPodUID)
	case attr(catalog.AttrService) != "":
		return "service " + attr(catalog.AttrService)
	}
	name := attr(catalog.AttrCgroup)
	if name == "" {
		name = p.Index.Entity(id).ID
	}
	return "cgroup " + path.Clean("/"+name)
}

// Owner returns the owner of id's process. A process without an owner is its own.
func (p *Pass) Owner(id observe.ID) string {
	process, ok := p.Index.Ancestor(id, observe.Process)
	if !ok {
		return p.Index.Entity(id).ID
	}
	if owner := p.Attr(process, catalog.AttrOwner); owner != "" {
		return owner
	}
	return p.Index.Entity(process).ID
}

// Managed reports whether id's process belongs to a container or a service, as
// opposed to a login shell.
func (p *Pass) Managed(id observe.ID) bool {
	named := func(at observe.ID) bool {
		return p.Attr(at, catalog.AttrContainerID) != "" || p.Attr(at, catalog.AttrContainerName) != "" || p.Attr(at, catalog.AttrService) != ""
	}
	if named(id) {
		return true
	}
	for at := range p.Cgroups(id) {
		if named(at) {
			return true
		}
	}
	return false
}

// Group returns the subject for processes of one owner: their container or service,
// otherwise the process from which the others descend. A root cgroup that they
// share with other owners is not used.
func (p *Pass) Group(processes []observe.ID) observe.ID {
	if cgroup, ok := p.CommonCgroup(processes); ok && p.Managed(cgroup) {
		return cgroup
	}
	owner, ok := p.Index.Find(observe.Entity{Kind: observe.Process, ID: p.Owner(processes[0])})
	if ok {
		return owner
	}
	return processes[0]
}

// CommonCgroup returns the innermost cgroup that contains all of ids.
func (p *Pass) CommonCgroup(ids []observe.ID) (observe.ID, bool) {
	if len(ids) == 0 {
		return observe.None, false
	}
	for at := range p.Cgroups(ids[0]) {
		if p.allWithin(ids, at) {
			return at, true
		}
	}
	return observe.None, false
}

func (p *Pass) allWithin(ids []observe.ID, outer observe.ID) bool {
	for _, id := range ids {
		if !p.Index.Within(id, outer) {
			return false
		}
	}
	return true
}
