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

// namespaceBegin returns the cgroup at which headroom's own cgroup namespace
// begins, "" where that is the root or cannot be found. On cgroup v2 a
// container runtime gives a pod a namespace of its own, in which /proc tells
// every path from the pod's cgroup: /../../podB/c. Put behind this, such a path
// is the one in the host's tree, which must be mounted at tree (v1 is left as it
// is: runtimes make no namespaces there).
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
		return "" // a name that is not printable
	}
	return begin
}

// maxSearched bounds the search for a process's cgroup: ten times a full node.
const maxSearched = 10 * maxCgroups

// findOwn returns the cgroup below tree that this process is in, "" for none.
// It leaves out cgroups without any process in or below them.
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

// empty reports whether the kernel says that no process is in the cgroup at dir
// or below it. The root does not say.
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

// Misplaced returns the cgroup of this process if the tree of cgroups does not have
// it there: then paths of /proc and of the tree are of different cgroups.
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
