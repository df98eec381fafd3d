// SPDX-License-Identifier: Apache-2.0

// Package cgroupwalk visits the directories of cgroup trees up to a limit, and
// divides that limit fairly: each turn of a cgroup goes to the next of its
// subtrees, as in deficit round robin. A program that creates cgroups below its own
// therefore uses up only visits of its own subtree, and hides no sibling, whatever
// their number and names.
//
// It reads directories, but no files.
package cgroupwalk

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A Dir is the directory of a cgroup in one tree.
type Dir struct {
	// Root is the root of the tree, and Path the cgroup below it: "/" or "/a/b".
	Root, Path string
	// Depth is 0 for the root.
	Depth int
	// Parent is nil for the root.
	Parent *Dir

	names    []string // children that were not visited yet
	unlisted int      // children that are not in names, beyond the limit of the walk
	round    []*Dir   // visited children that have a turn in this round
	later    []*Dir   // those that have a turn in the next round
}

// Name returns the path of the directory.
func (d *Dir) Name() string { return filepath.Join(d.Root, d.Path) }

// done reports whether everything below d was visited. A directory that has
// unlisted children is never done, for its names alone exceed the limit.
func (d *Dir) done() bool { return len(d.names) == 0 && len(d.round) == 0 && len(d.later) == 0 }

// A Rest is what the limit left out.
type Rest struct {
	// Dirs counts the directories that were not visited although the one above
	// them was. What is below them is not counted.
	Dirs int
	// Crowded is the visited directory with the most of them.
	Crowded string

	most int
}

// Walk visits the trees below roots, at most limit directories. A directory is
// visited before those below it, which are left out where visit returns false.
func Walk(roots []string, limit int, visit func(*Dir) (below bool)) Rest {
	w := walk{limit: limit, visit: visit}
	top := &Dir{}
	for _, root := range roots {
		w.enter(top, &Dir{Root: root, Path: "/"})
	}
	for w.visited < w.limit && !top.done() {
		w.step(top)
	}
	var rest Rest
	rest.add(top)
	return rest
}

type walk struct {
	limit, visited int
	visit          func(*Dir) bool
}

// step visits one directory below d.
func (w *walk) step(d *Dir) {
	if len(d.names) > 0 {
		name := d.names[0]
		d.names = d.names[1:]
		w.enter(d, &Dir{Root: d.Root, Path: filepath.Join(d.Path, name), Depth: d.Depth + 1, Parent: d})
		return
	}
	if len(d.round) == 0 {
		d.round, d.later = d.later, nil
	}
	child := d.round[0]
	d.round = d.round[1:]
	w.step(child)
	if !child.done() {
		d.later = append(d.later, child)
	}
}

func (w *walk) enter(parent, d *Dir) {
	w.visited++
	if !w.visit(d) {
		return
	}
	d.list(w.limit)
	if !d.done() {
		parent.later = append(parent.later, d)
	}
}

// listed is how many entries of a directory are read at once: a cgroup has some
// forty files.
const listed = 256

// list notes the directories in d. A directory of the kernel's counts them in
// its links, which saves listing the forty files of each leaf.
func (d *Dir) list(limit int) {
	count := Children(d.Name())
	if count == 0 {
		return
	}
	f, err := os.Open(d.Name())
	if err != nil {
		return // removed since
	}
	defer f.Close() //nolint:errcheck // read only
	for len(d.names) < limit {
		entries, err := f.ReadDir(listed)
		for _, e := range entries {
			if e.IsDir() {
				d.names = append(d.names, e.Name())
			}
		}
		if err != nil {
			return // the end, or removed since
		}
	}
	d.unlisted = max(0, count-len(d.names))
}

// Children returns the number of directories in dir, 0 for one that cannot be
// read, and -1 where the file system does not count them (btrfs).
func Children(dir string) int {
	var st unix.Stat_t
	if unix.Stat(dir, &st) != nil {
		return 0
	}
	return int(st.Nlink) - 2 // . and the entry in the directory above
}

func (r *Rest) add(d *Dir) {
	left := len(d.names) + d.unlisted
	r.Dirs += left
	if left > r.most {
		r.most, r.Crowded = left, d.Name()
	}
	for _, children := range [][]*Dir{d.round, d.later} {
		for _, c := range children {
			r.add(c)
		}
	}
}
