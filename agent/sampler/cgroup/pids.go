// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// nearFull is the share of a limit of processes from which their number is read every
// second.
const nearFull = 0.5

// pids holds a group's own limit of processes and threads, and its files. Groups that are
// under no limit have no files: nothing can be refused.
type pids struct {
	limit           field
	bound           bool // the group or an ancestor has a limit
	near            bool // half of the limit was used at the last reading
	current, events file
}

func (p *pids) write(s *observe.Snapshot, id observe.ID) {
	set(s, catalog.CgroupPidsLimit, id, p.limit)
}

func (p *pids) close(fs *files) {
	fs.close(&p.current)
	fs.close(&p.events)
}

// pids returns the tree that has the limits of processes, "" if it is not mounted.
func (t hierarchies) pids() string {
	if t.v1() {
		return t.pidsV1
	}
	return t.unified
}

// pidsLimit reads pids.max, which is "max" without a limit.
func (r *reader) pidsLimit(path string) field {
	root := r.tree.pids()
	if root == "" || path == "/" {
		return field{}
	}
	n, ok := r.number(filepath.Join(root, path, "pids.max"))
	return field{n, ok && n > 0}
}

// bindPids marks the groups that are under a limit of processes, and finds their files.
// Parents come first in r.order. The kernel counts a refused process in the cgroup that
// asked for it, which can have no limit of its own.
func (r *reader) bindPids() {
	for _, g := range r.order {
		p, above := &g.pids, r.groups[filepath.Dir(g.path)]
		p.bound = p.limit.known || above != nil && above != g && above.pids.bound
		if !p.bound {
			p.close(r.files)
			p.current.path, p.events.path = "", ""
			continue
		}
		dir := filepath.Join(r.tree.pids(), g.path)
		if p.limit.known && p.current.path == "" && exists(dir+"/pids.current") {
			p.current.path = dir + "/pids.current"
		}
		// pids.events also counts descendants, on v2 since Linux 6.11.
		for _, name := range []string{"/pids.events.local", "/pids.events"} {
			if p.events.path == "" && exists(dir+name) {
				p.events.path = dir + name
			}
		}
	}
}

// readPids writes the number of processes and threads, and how many were refused.
func (r *reader) readPids(s *observe.Snapshot, g *group) {
	p := &g.pids
	if n, ok := r.readNumber(s, g, &p.current); ok {
		s.Set(catalog.CgroupPids, g.id, n)
		p.near = n >= nearFull*p.limit.value
	}
	if p.events.path == "" || g.gone {
		return
	}
	b, err := r.files.read(&p.events)
	if err != nil {
		r.lost(s, g, &p.events, err)
		return
	}
	set(s, catalog.CgroupPidsRefused, g.id, parseEvents(b).max)
}

// hasPids reports whether cgroups can have a limit of processes.
func (r *reader) hasPids() bool {
	if r.tree.v1() {
		return r.tree.pidsV1 != ""
	}
	b, err := r.files.once(filepath.Join(r.tree.unified, "cgroup.controllers"))
	return err == nil && slices.Contains(strings.Fields(string(b)), "pids")
}

// noPids adds a gap if no limit of processes can be read.
func (r *reader) noPids() {
	if len(r.order) < 2 || r.hasPids() { // the root has no limit
		return
	}
	r.gaps = append(r.gaps, observe.Gap{
		Source: Sampler.Name, Reason: "limits of processes and threads of cgroups are not known: no hierarchy has the pids controller",
		Cure: "use a kernel built with CONFIG_CGROUP_PIDS, and mount its hierarchy or enable it (systemd: TasksAccounting=yes)",
	})
}
