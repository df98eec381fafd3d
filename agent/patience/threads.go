// SPDX-License-Identifier: Apache-2.0

package patience

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	// otherThreads is the number of threads that the rest of headroom needs: the Go
	// runtime ends the program when it cannot create a thread.
	otherThreads = 24
	// leastHanging is the limit if hardly a thread is left. One call of each kind is
	// enough to detect that something hangs.
	leastHanging = 1
)

// hangingLimit returns maxHanging, or less in a cgroup that allows few threads.
func hangingLimit(proc, cgroups string) int {
	return min(maxHanging, max(leastHanging, (threadLimit(proc, cgroups)-otherThreads)/2))
}

// threadLimit returns the lowest pids.max of this process's cgroup and its ancestors,
// in the hierarchies of cgroup v1 or v2 mounted at cgroups.
func threadLimit(proc, cgroups string) int {
	limit := math.MaxInt
	b, err := os.ReadFile(filepath.Join(proc, "self", "cgroup"))
	if err != nil {
		return limit
	}
	for line := range strings.Lines(string(b)) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, path, ok := strings.Cut(rest, ":")
		tree := cgroups
		switch {
		case !ok || controllers != "" && controllers != "pids":
			continue
		case controllers == "pids":
			tree = filepath.Join(cgroups, "pids")
		}
		// A container sees its own cgroup at the root of the tree.
		for path = filepath.Join("/", path); ; path = filepath.Dir(path) {
			limit = min(limit, pidsMax(filepath.Join(tree, path, "pids.max")))
			if path == "/" {
				break
			}
		}
	}
	return limit
}

// pidsMax reads a limit.
//
//	max
func pidsMax(file string) int {
	b, err := os.ReadFile(file)
	if err != nil {
		return math.MaxInt
	}
	n, err := strconv.Atoi(string(bytes.TrimSpace(b)))
	if err != nil {
		return math.MaxInt // "max"
	}
	return n
}
