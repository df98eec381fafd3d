// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/headroom-project/headroom/agent/cgroupwalk"
)

// namespaceBegin returns the root of headroom's own cgroup namespace, "" if it is
// the root of the hierarchy or cannot be found. On cgroup v2 a container runtime
// gives a pod its own namespace, and /proc reports every path relative to the pod's
// cgroup: /../../podB/c. Appended to the result, such a path is the one in the
// host's tree, which must be mounted at tree. On v1 runtimes create no namespaces,
// so paths are used as they are.
func namespaceBegin(proc, tree string) string {
	if _, err := os.Stat(filepath.Join(tree, "cgroup.controllers")); err != nil {
		return ""
	}
	file, err := os.ReadFile(filepath.Join(proc, "self", "cgroup"))
	if err != nil {
		return ""
	}
	own := cgroupOf(file, "")
	if holds(filepath.Join(tree, own), os.Getpid()) {
		return ""
	}
	begin, ok := strings.CutSuffix(findOwn(tree), strings.TrimSuffix(own, "/"))
	if !ok {
		return "" // an unprintable name
	}
	return begin
}

// maxSearched limits the search for a process's cgroup: ten times a full node.
const maxSearched = 10 * maxCgroups

// findOwn returns the cgroup below tree that contains this process, "" for none. It
// skips cgroups without any process in them or below.
func findOwn(tree string) string {
	found := ""
	cgroupwalk.Walk([]string{tree}, maxSearched, func(d *cgroupwalk.Dir) (below bool) {
		if found != "" {
			return false
		}
		if holds(d.Name(), os.Getpid()) {
			found = d.Path
		}
		return found == "" && !empty(d.Name())
	})
	return strings.TrimSuffix(found, "/")
}

// empty reports whether the kernel says that no process is in the cgroup at dir or
// below it. The root has no such file.
func empty(dir string) bool {
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.events"))
	return err == nil && bytes.Contains(b, []byte("populated 0"))
}

// holds reports whether a process is in the cgroup at dir.
func holds(dir string, pid int) bool {
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return false
	}
	want := []byte(strconv.Itoa(pid))
	for line := range bytes.Lines(b) {
		if bytes.Equal(bytes.TrimSpace(line), want) {
			return true
		}
	}
	return false
}

// Misplaced returns the cgroup of this process if the cgroup tree does not contain
// it at that path: then paths in /proc and in the tree belong to different cgroups.
func (r *Resolver) Misplaced(tree string) (path string, misplaced bool) {
	file, err := os.ReadFile(filepath.Join(r.source.proc, "self", "cgroup"))
	if err != nil {
		return "", false
	}
	_, err = os.Stat(filepath.Join(tree, "cgroup.controllers"))
	v2 := err == nil
	for line := range bytes.Lines(file) {
		_, rest, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), ":")
		controllers, p, _ := strings.Cut(rest, ":")
		root := tree
		switch {
		case controllers == "" && !v2:
			root = filepath.Join(tree, "unified")
		case controllers != "":
			root = filepath.Join(tree, controllers)
		}
		p = normalise(r.source.begin + "/" + p)
		if _, err := os.Stat(root); err == nil && (v2 == (controllers == "")) && lacks(filepath.Join(root, p), os.Getpid()) {
			return p, true
		}
	}
	return "", false
}

// lacks reports whether a process is known not to be in the cgroup at dir.
func lacks(dir string, pid int) bool {
	_, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	return (err == nil || errors.Is(err, fs.ErrNotExist)) && !holds(dir, pid)
}
