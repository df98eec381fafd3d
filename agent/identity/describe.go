// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"cmp"
	"debug/elf"
	"maps"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/cmdline"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/patience"
)

// describe writes the facts f about p to the index, if they changed. It reports
// whether all reads finished.
func (r *Resolver) describe(p *process, f *facts, depth int) (complete bool) {
	complete = !f.unread
	in := r.enter(shallow(f.cgroup))
	executable := f.executable
	now := program{exe: f.exe, name: executable, command: f.command}
	kin := r.kin(p, f, now, in.place, depth)
	attrs := map[string]string{
		catalog.AttrPID:     strconv.Itoa(p.pid),
		catalog.AttrCommand: now.command,
		catalog.AttrOwner:   kin.owner,
	}
	set(attrs, catalog.AttrProgram, kin.called)
	if self, err := os.Readlink(filepath.Join(r.source.proc, "self")); err == nil && self == attrs[catalog.AttrPID] {
		attrs[catalog.AttrSelf] = "true"
	}
	set(attrs, catalog.AttrService, in.place.service)
	describeContainer(attrs, in.place)
	describePod(attrs, in.place)
	if f.kernel() {
		attrs[catalog.AttrKernelThread] = "true"
	} else {
		attrs[catalog.AttrExecutable] = executable
		if f.comm != executable[:min(len(executable), taskName)] {
			attrs[catalog.AttrThreadName] = cmp.Or(observe.ThreadName(f.comm, f.comm, executable), observe.OwnTitle)
		}
		runtime, known := r.runtime(p.pid, executable, f.exe)
		complete = complete && known
		set(attrs, catalog.AttrRuntime, runtime)
	}
	r.mu.Lock()
	p.program, p.kin, p.cgroup, p.link, p.named = now, kin, f.cgroup, f.link, !f.blank()
	r.mu.Unlock()
	r.publish(p.id, observe.Info{Parent: r.index.Entity(in.id), Attrs: attrs})
	return complete
}

// taskName is the length of a thread's name in the kernel (TASK_COMM_LEN without
// the terminator).
const taskName = 15

func set(attrs map[string]string, key, value string) {
	if value != "" {
		attrs[key] = value
	}
}

func describeContainer(attrs map[string]string, p place) {
	set(attrs, catalog.AttrContainerID, p.container)
	set(attrs, catalog.AttrContainerKind, p.kind)
}

func describePod(attrs map[string]string, p place) {
	set(attrs, catalog.AttrPodUID, p.pod)
	set(attrs, catalog.AttrQoS, p.qos)
}

// publish describes an entity if the description changed: archives store each
// description.
func (r *Resolver) publish(id observe.ID, info observe.Info) {
	if id == observe.None {
		return
	}
	was := r.index.Info(id)
	if was.Parent == info.Parent && maps.Equal(was.Attrs, info.Attrs) {
		return
	}
	r.index.Describe(id, info)
}

// A kin holds what a process has in common with the processes of its program: node's
// cluster, nginx and its workers.
type kin struct {
	// owner is the container, otherwise the service, otherwise the owner of the first
	// ancestor that runs the same program, which may be the process itself.
	owner string
	own   bool // owner is the process or an ancestor
	// called is the name of the program, "" if that is the command: see
	// catalog.AttrProgram.
	called string
}

// kin returns what p has in common with its parent, if that runs the same program.
func (r *Resolver) kin(p *process, f *facts, now program, in place, depth int) kin {
	alone := kin{owner: in.owner(), called: f.program}
	if alone.owner == "" {
		alone.owner, alone.own = strconv.Itoa(p.pid)+":"+strconv.FormatUint(p.start, 10), true
	}
	r.mu.RLock()
	before, was := p.program, p.kin
	r.mu.RUnlock()
	if before == now && (was.own && alone.own || was.owner == alone.owner) {
		was.called = cmp.Or(was.called, f.program)
		return was // its parent may have ended since
	}
	if f.kernel() || f.Parent == 0 || depth == maxFamily || !alone.own && !strings.Contains(now.command, " ") {
		return alone
	}
	parent := r.parent(f.Parent, depth+1)
	if parent == nil {
		return alone
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	if !now.sameAs(parent.program, f.forked()) || parent.own != alone.own || !alone.own && parent.owner != alone.owner {
		return alone
	}
	same := kin{owner: parent.owner, own: alone.own, called: f.program}
	if name := cmp.Or(parent.called, parent.program.command); sameCommand(now.command, parent.program.command) && name != now.command {
		same.called = name
	}
	return same
}

func (r *Resolver) parent(pid, depth int) *process {
	r.mu.RLock()
	p := r.procs[pid]
	r.mu.RUnlock()
	if p != nil {
		return p
	}
	return r.learn(pid, depth, func(uint64) bool { return true })
}

// sameAs reports whether a child belongs to the program of its parent: it has the
// same executable, and was forked without an exec or runs the same script. A
// supervisor that starts other scripts of its own language is a different program.
func (p program) sameAs(parent program, forked bool) bool {
	none := patience.FileID{}
	if p.name != parent.name || p.exe != parent.exe && p.exe != none && parent.exe != none {
		return false
	}
	return forked || sameCommand(p.command, parent.command)
}

// sameCommand reports whether two processes run the same command: node's cluster
// uses the full path of a script that was started with a relative one.
//
//	node server.js
//	node shop/server.js
func sameCommand(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	exe, script, _ := strings.Cut(a, " ")
	return a == b || script != "" && strings.HasPrefix(b, exe+" ") && strings.HasSuffix(b, "/"+script)
}

// runtime returns the runtime by the executable's name, or by its content, which is
// read once. ok is false if the file cannot be opened in time.
func (r *Resolver) runtime(pid int, executable string, exe patience.FileID) (name string, known bool) {
	if name := cmdline.Runtime(executable); name != "" {
		return name, true
	}
	if exe == (patience.FileID{}) {
		return "", true
	}
	r.mu.RLock()
	isGo, known := r.golang[exe]
	r.mu.RUnlock()
	if !known {
		call := r.source.call(pid, patience.Exe, "whether it is a Go program")
		isGo, known = patience.Ask(r.source.calls, call, func() bool { return r.inspect(pid, exe) })
	}
	if isGo {
		return "go", true
	}
	return "", known
}

// inspect reads an executable and caches the result, even if the caller stopped
// waiting.
func (r *Resolver) inspect(pid int, exe patience.FileID) (isGo bool) {
	isGo = builtByGo(r.source.path(pid, patience.Exe))
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.golang) >= maxExecutables {
		clear(r.golang)
	}
	r.golang[exe] = isGo
	return isGo
}

// builtByGo reports whether an executable has Go's build information. Stripping
// keeps it, because the section is loaded with the program.
func builtByGo(executable string) bool {
	f, err := elf.Open(executable)
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // read only
	return f.Section(".go.buildinfo") != nil
}

// Cgroup implements sampler.Identity.
func (r *Resolver) Cgroup(cgroup string) observe.ID {
	return r.enter(shallow(normalise(cgroup))).id
}

// enter interns a normalised path and its ancestors.
func (r *Resolver) enter(p string) *cgroup {
	r.mu.RLock()
	c := r.cgroups[p]
	r.mu.RUnlock()
	if c != nil {
		return c
	}
	parent := observe.Entity{Kind: observe.Node, ID: catalog.NodeID}
	trusted := allTrusted
	if p != "/" {
		parent = observe.Entity{Kind: observe.Cgroup, ID: path.Dir(p)}
		trusted = r.trees.trusted(path.Dir(p), r.enter(path.Dir(p)).trusted)
	} else {
		r.index.ID(parent)
	}
	c = &cgroup{id: r.index.ID(observe.Entity{Kind: observe.Cgroup, ID: p}), place: placeOf(p, trusted), trusted: trusted}
	version := r.version()
	r.publish(c.id, observe.Info{Parent: parent, Attrs: r.cgroupAttrs(p, c.place)})
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.cgroups) >= maxCgroups {
		clear(r.cgroups)
	}
	r.cgroups[p] = c
	if version != r.version() {
		r.renamed = unnamed // a concurrent Rename may have missed it
	}
	return c
}

func (r *Resolver) cgroupAttrs(p string, in place) map[string]string {
	attrs := map[string]string{catalog.AttrCgroup: p}
	set(attrs, catalog.AttrService, in.service)
	describePod(attrs, in)
	if in.pod != "" && r.names != nil {
		maps.Copy(attrs, r.names.Pod(in.pod))
	}
	if in.containerPath == p {
		describeContainer(attrs, in)
		if in.pod != "" && r.names != nil {
			maps.Copy(attrs, r.names.Container(in.container))
		}
	}
	return attrs
}
