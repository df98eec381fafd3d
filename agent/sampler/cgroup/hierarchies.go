// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/prometheus/procfs"

	"github.com/headroom-project/headroom/agent/sampler"
)

// hierarchies holds the root directories of the cgroup trees, "" for none. On v2
// only unified is set; on v1 all others are; on a hybrid host the others have the
// controllers and unified has the pressure.
type hierarchies struct {
	cpu, cpuacct, cpuset, memoryV1, pidsV1, unified string
}

func (t hierarchies) v1() bool { return t.cpu != "" }

// main returns the tree that has the CPU limits.
func (t hierarchies) main() string {
	if t.v1() {
		return t.cpu
	}
	return t.unified
}

// roots returns the trees to walk, each once.
func (t hierarchies) roots() []string {
	roots := []string{t.main(), t.cpuacct, t.memoryV1, t.unified}
	slices.Sort(roots)
	roots = slices.Compact(roots)
	return slices.DeleteFunc(roots, func(root string) bool { return root == "" })
}

// have reports whether any hierarchy has a cgroup at path.
func (t hierarchies) have(path string) bool {
	for _, root := range t.roots() {
		if exists(filepath.Join(root, path)) {
			return true
		}
	}
	return false
}

// find finds the mounts below h.Cgroup or, in a recorded tree, directories with
// their usual names.
func find(h *sampler.Host) (hierarchies, error) {
	t := mounted(h)
	if t == (hierarchies{}) {
		t = named(h.Cgroup)
	}
	if t.main() == "" {
		return t, sampler.NotSupported("mount the cgroup file system: mount -t cgroup2 cgroup2 "+h.Cgroup+"; in a container docker run --cgroupns=host -v /sys/fs/cgroup:/sys/fs/cgroup:ro, or a hostPath volume of the pod",
			"no cgroup hierarchy with CPU accounting is mounted below %s", h.Cgroup)
	}
	return t, nil
}

func mounted(h *sampler.Host) hierarchies {
	var t hierarchies
	proc, err := procfs.NewFS(h.Proc)
	if err != nil {
		return t
	}
	mounts, err := proc.GetMounts()
	if err != nil {
		return t
	}
	for _, m := range mounts {
		if !inside(m.MountPoint, h.Cgroup) || !visible(m.MountPoint) {
			continue
		}
		switch m.FSType {
		case "cgroup2":
			prefer(&t.unified, m.MountPoint)
		case "cgroup":
			for name, dir := range map[string]*string{"cpu": &t.cpu, "cpuacct": &t.cpuacct, "cpuset": &t.cpuset, "memory": &t.memoryV1, "pids": &t.pidsV1} {
				if _, ok := m.SuperOptions[name]; ok {
					prefer(dir, m.MountPoint)
				}
			}
		}
	}
	return t
}

// visible reports whether a cgroup tree is visible at p: another file system may be
// mounted over it, such as the empty one of a container.
func visible(p string) bool {
	return exists(filepath.Join(p, "cgroup.procs"))
}

func inside(p, dir string) bool {
	dir = filepath.Clean(dir)
	return p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}

// prefer keeps the mount closest to the root: container engines bind-mount parts of
// the tree further down.
func prefer(dir *string, mountPoint string) {
	if *dir == "" || len(mountPoint) < len(*dir) {
		*dir = mountPoint
	}
}

func named(root string) hierarchies {
	if exists(filepath.Join(root, "cgroup.controllers")) {
		return hierarchies{unified: root}
	}
	first := func(names ...string) string {
		for _, n := range names {
			if dir := filepath.Join(root, n); exists(dir) {
				return dir
			}
		}
		return ""
	}
	return hierarchies{
		cpu:      first("cpu", "cpu,cpuacct"),
		cpuacct:  first("cpuacct", "cpu,cpuacct"),
		cpuset:   first("cpuset"),
		memoryV1: first("memory"),
		pidsV1:   first("pids"),
		unified:  first("unified"),
	}
}

func exists(p string) bool {
	_, err := os.Stat(p)
	return err == nil
}
