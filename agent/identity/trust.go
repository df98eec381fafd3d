// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// trees are the roots of the cgroup hierarchies, each with its owner: root, or the
// ID that a user namespace maps it to.
type trees []tree

type tree struct {
	root  string
	owner uint32
}

// findTrees looks below dir, which is the v2 tree or has a folder for each v1 tree.
func findTrees(dir string) trees {
	roots := []string{dir}
	if _, err := os.Stat(filepath.Join(dir, "cgroup.controllers")); err != nil {
		roots = roots[:0]
		entries, _ := os.ReadDir(dir) //nolint:errcheck // no cgroups, or a recorded /proc
		for _, e := range entries {
			if e.IsDir() { // skip links: cpu is a link to cpu,cpuacct on many hosts
				roots = append(roots, filepath.Join(dir, e.Name()))
			}
		}
	}
	var all trees
	for _, root := range roots {
		var st unix.Stat_t
		if unix.Stat(root, &st) == nil {
			all = append(all, tree{root: root, owner: st.Uid})
		}
	}
	return all
}

// trusted returns the number of elements of the path of a cgroup in parent that
// only root could create; above is that number for parent. The owner of a cgroup's
// directory can create cgroups with any name in it. The owner is checked when a
// cgroup is first seen: managers change the owner of a directory after they created
// it.
func (t trees) trusted(parent string, above int) int {
	if above != allTrusted || t.ownedByRoot(parent) {
		return above
	}
	return strings.Count(strings.TrimSuffix(parent, "/"), "/")
}

// ownedByRoot reports whether root owns a cgroup in every tree. It also returns true
// for a cgroup that is gone, unless its path was escaped.
func (t trees) ownedByRoot(cgroup string) bool {
	const othersWrite = 0o022
	found := false
	for _, tree := range t {
		var st unix.Stat_t
		if unix.Lstat(filepath.Join(tree.root, cgroup), &st) != nil {
			continue
		}
		found = true
		if st.Uid != tree.owner || st.Mode&othersWrite != 0 {
			return false
		}
	}
	return found || !strings.Contains(cgroup, `\x`)
}
