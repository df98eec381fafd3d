// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/cgroupwalk"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

// survey walks the trees, reads limits, and records new and removed groups.
func (r *reader) survey(s *observe.Snapshot) {
	r.walk++
	r.gaps = r.gaps[:0]
	r.rootCPUs = r.cpusOf("/")
	paths := r.paths()
	for _, p := range paths {
		r.meet(p)
	}
	for p, g := range r.groups {
		if g.walk == r.walk && !g.gone {
			continue
		}
		if !g.gone && !r.tree.have(p) {
			s.End(g.id, "removed")
		}
		g.close(r.files)
		delete(r.groups, p)
	}
	r.order = r.order[:0]
	for _, g := range r.groups {
		r.order = append(r.order, g)
	}
	slices.SortFunc(r.order, func(a, b *group) int { return cmp.Compare(a.path, b.path) })
	r.bind()
	r.bindPids()
	r.noPressure()
	r.noMemory()
	r.noPids()
}

// meet creates or updates the group at a path.
func (r *reader) meet(p string) {
	g := r.groups[p]
	if g == nil || g.gone {
		if g != nil {
			g.close(r.files)
		}
		g = &group{path: p, id: r.identity.Cgroup(p)}
		r.groups[p] = g
	}
	r.locate(g)
	g.walk = r.walk
	g.limits = r.limitsOf(p)
	g.memory.limit, g.memory.high = r.memoryLimits(p)
	g.pids.limit = r.pidsLimit(p)
}

// locate finds the files of the group. A process joins one hierarchy after the
// other, so a young group may have gained some.
func (r *reader) locate(g *group) {
	at := func(f *file, root, name string) {
		if f.path != "" || root == "" {
			return
		}
		if p := filepath.Join(root, g.path, name); exists(p) {
			f.path = p
		}
	}
	at(&g.stat, r.tree.main(), "cpu.stat")
	at(&g.usage, r.tree.cpuacct, "cpuacct.usage")
	for i, p := range pressures {
		at(&g.pressure[i], r.tree.unified, p.name)
	}
	r.locateMemory(g)
}

// paths returns, for every hierarchy, the cgroups that hold processes or have a
// limit, and their ancestors.
func (r *reader) paths() []string {
	w := walker{reader: r, wanted: map[string]bool{"/": true}, refusedIn: make(map[string]int)}
	rest := cgroupwalk.Walk(r.tree.roots(), maxVisits, w.visit)
	r.crowd = newCrowd(rest.Crowded)
	if w.refused > 0 {
		most := w.mostRefused()
		r.crowd = newCrowd(most)
		r.gaps = append(r.gaps, observe.Gap{
			Source: Sampler.Name,
			Reason: fmt.Sprintf("the limit of %d cgroups was reached: %d cgroups are not observed, most of them below %q", maxGroups, w.refused, most),
		})
	}
	if rest.Dirs > 0 {
		r.gaps = append(r.gaps, observe.Gap{
			Source: Sampler.Name,
			Reason: fmt.Sprintf("the tree has more than %d cgroups, most of them without processes or limits: %d cgroups, and those below them, were not read; most of them are in %q",
				maxVisits, rest.Dirs, rest.Crowded),
			Cure: fmt.Sprintf("remove the empty cgroups in %q", rest.Crowded),
		})
	}
	if w.deep > 0 {
		r.gaps = append(r.gaps, observe.Gap{
			Source: Sampler.Name,
			Reason: fmt.Sprintf("cgroups nested deeper than %d levels, or with a path longer than %d bytes, are not observed one by one (%d found): "+
				"their processes and CPU time are counted in the cgroup above them", sampler.CgroupDepth, maxPath, w.deep),
			Cure: "limit the nesting: write a number to cgroup.max.depth of the cgroup that contains them",
		})
	}
	all := make([]string, 0, len(w.wanted))
	for p := range w.wanted {
		all = append(all, p)
	}
	return all
}

type walker struct {
	*reader
	wanted    map[string]bool
	refused   int            // over maxGroups
	refusedIn map[string]int // the same, by the directory that they are in
	deep      int            // over sampler.CgroupDepth or maxPath, without what is below those
}

// maxPath is the maximum length of a cgroup's path: the kernel opens no path longer
// than 4096 bytes (PATH_MAX), and the name of a file is appended.
const maxPath = unix.PathMax - 64

// visit reports whether to visit the cgroups below d.
func (w *walker) visit(d *cgroupwalk.Dir) bool {
	dir := d.Name()
	if d.Depth > sampler.CgroupDepth || len(dir) > maxPath {
		w.deep++
		w.want(d.Parent) // the parent stands for it
		return false
	}
	if !w.wanted[d.Path] && (w.holds(dir) || w.limited(d.Root, d.Path)) {
		w.want(d)
	}
	return true
}

// want adds a cgroup and its ancestors.
func (w *walker) want(d *cgroupwalk.Dir) {
	missing := 0
	for a := d; !w.wanted[a.Path]; a = a.Parent {
		missing++
	}
	if len(w.wanted)+missing > maxGroups {
		w.refused++
		w.refusedIn[d.Parent.Name()]++
		return
	}
	for a := d; !w.wanted[a.Path]; a = a.Parent {
		w.wanted[a.Path] = true
	}
}

// mostRefused returns the directory that contains most of the refused cgroups.
func (w *walker) mostRefused() string {
	most := ""
	for dir, n := range w.refusedIn {
		if n > w.refusedIn[most] || n == w.refusedIn[most] && dir < most {
			most = dir
		}
	}
	return most
}

// holds reports whether the cgroup itself has processes.
func (w *walker) holds(dir string) bool {
	if b, err := w.files.once(dir + "/cgroup.events"); err == nil {
		return bytes.Contains(b, []byte("populated 1"))
	}
	b, err := w.files.once(dir + "/cgroup.procs")
	// A threaded cgroup does not list its processes, but has some.
	return err == nil && len(b) > 0 || errors.Is(err, unix.EOPNOTSUPP)
}

// limited reports whether a limit is set in this hierarchy: the cgroup of a pod
// often has no process of its own.
func (w *walker) limited(root, p string) bool {
	if root == w.tree.main() && w.hasQuota(filepath.Join(root, p)) {
		return true
	}
	if root != w.tree.memory() {
		return false
	}
	limit, high := w.memoryLimits(p)
	return limit.known || high.known
}

func (w *walker) hasQuota(dir string) bool {
	var l limits
	if w.tree.v1() {
		w.limitsV1(dir, &l)
	} else {
		w.limitsV2(dir, &l)
	}
	return l.quota
}

// noPressure adds a gap if no cgroup has pressure.
func (r *reader) noPressure() {
	if r.tree.unified == "" {
		r.gaps = append(r.gaps, observe.Gap{
			Source: Sampler.Name, Reason: "pressure of cgroups is not known: cgroup v1 does not measure it", Cure: "boot with systemd.unified_cgroup_hierarchy=1",
		})
		return
	}
	b, err := r.files.once(filepath.Join(r.tree.unified, pressures[0].name))
	if err == nil && len(b) > 0 {
		return
	}
	for _, g := range r.order {
		if g.pressure[0].path != "" && g.path != "/" {
			if _, err := r.files.once(g.pressure[0].path); err == nil {
				return
			}
		}
	}
	if r.files.starved != nil {
		return // Read reports it
	}
	r.gaps = append(r.gaps, observe.Gap{
		Source: Sampler.Name, Reason: "pressure of cgroups is not known: the kernel does not measure it", Cure: "boot with psi=1 on a kernel of 4.20 or later built with CONFIG_PSI",
	})
}
