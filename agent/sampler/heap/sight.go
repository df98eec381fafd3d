// SPDX-License-Identifier: Apache-2.0

package heap

import (
	"bytes"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/headroom-project/headroom/agent/patience"
	"github.com/headroom-project/headroom/agent/sampler"
)

// A sight is the memory that a process sees, and whether a limit of it comes from
// the unified hierarchy.
type sight struct {
	memory      float64
	unified, ok bool
}

// memorySeen is what a process takes for the memory that it has: the limit of
// its own cgroup as far as its own mounts show it, or the host's. It is read as
// libuv does (uv__get_cgroup_constrained_memory in src/unix/linux.c): no ancestor is
// asked, the soft limit of v1 is left out, and without /sys/fs/cgroup in the container there is no limit to see.
// A JVM inherits: in v1 it takes that of an ancestor where its own group has none.
// A limit that was changed since the process started shows as it is now.
//
// The files are those of the process's root directory, on whatever file system.
func (r *reader) memorySeen(pid int, inherits bool) sight {
	proc := r.host.Proc + "/" + strconv.Itoa(pid)
	file, err := os.ReadFile(proc + "/cgroup")
	if err != nil {
		return sight{}
	}
	v1, v2 := memoryPaths(string(file))
	root := proc + "/root/sys/fs/cgroup"
	if _, err := os.Stat(proc + "/root/"); err != nil {
		return sight{}
	}
	if v1 != "" {
		own := limitIn(root+"/memory", v1, "memory.limit_in_bytes")
		if own > r.total && inherits {
			own = inheritedIn(root+"/memory", v1)
		}
		return sight{memory: min(r.total, own), ok: true}
	}
	return sight{memory: min(r.total, limitIn(root, v2, "memory.max"), limitIn(root, v2, "memory.high")), unified: true, ok: true}
}

// limitIn reads a limit under the path that the process has on the host, or,
// where it only sees its own part of the tree, at the root.
func limitIn(root, path, file string) float64 {
	for _, dir := range []string{root + path, root} {
		if text, err := readForeign(dir + "/" + file); err == nil {
			if n, ok := parseLimit(text); ok {
				return n
			}
		}
	}
	none, _ := parseLimit([]byte("max"))
	return none
}

// inheritedIn reads the lowest limit of a group of v1 and those above it, which
// the kernel tells also where they are not mounted.
//
//	hierarchical_memory_limit 1073741824
func inheritedIn(root, path string) float64 {
	for _, dir := range []string{root + path, root} {
		text, _ := readForeign(dir + "/memory.stat")
		for line := range strings.Lines(string(text)) {
			if number, ok := strings.CutPrefix(line, "hierarchical_memory_limit "); ok {
				if n, ok := parseLimit([]byte(number)); ok {
					return n
				}
			}
		}
	}
	none, _ := parseLimit([]byte("max"))
	return none
}

// memoryPaths returns the path in the memory controller's own hierarchy, "" when
// it has none, and that in the unified one.
//
//	9:memory:/kubepods/burstable/pod…/8f6a…
//	0::/kubepods/burstable/pod…/8f6a…
func memoryPaths(file string) (v1, v2 string) {
	for line := range strings.Lines(file) {
		_, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		switch controller, path, _ := strings.Cut(rest, ":"); controller {
		case "memory":
			v1 = path
		case "":
			v2 = path
		}
	}
	return v1, v2
}

// nodes remembers the major version of each executable of node, 0 for one that
// does not tell.
type nodes struct {
	mu    sync.Mutex
	major map[patience.FileID]int
}

const (
	// The versions whose defaults were measured.
	firstNode, lastNode = 16, 25
	// firstUnified is the first whose libuv (1.45) reads limits of cgroup v2.
	firstUnified = 20
	// nodePatience is how long an executable of node is waited for: it has 100 MB,
	// of which half is read.
	nodePatience = time.Second
	// maxNodes bounds the executables that are remembered.
	maxNodes = 200
)

// version returns the major version of a process's node. ok is false while that
// is not known, because its executable does not open or is still being read.
func (n *nodes) version(h *sampler.Host, pid int) (major int, ok bool) {
	exe := call(pid, patience.Exe)
	exe.Patience = nodePatience
	key, ok := h.Patience.File(exe)
	if !ok || key == (patience.FileID{}) {
		return 0, ok
	}
	n.mu.Lock()
	major, known := n.major[key]
	n.mu.Unlock()
	if known {
		return major, true
	}
	path := h.Proc + "/" + strconv.Itoa(pid) + "/" + patience.Exe
	return patience.Ask(h.Patience, exe, func() int { return n.inspect(path, key) })
}

// inspect reads an executable and remembers its version, even when no caller waits
// for the answer any more.
func (n *nodes) inspect(path string, key patience.FileID) int {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close() //nolint:errcheck // read only
	major := nodeMajor(f)
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.major) < maxNodes {
		n.major[key] = major
	}
	return major
}

// follows reports whether the default of a node is known to follow from the
// memory that memorySeen found.
func follows(major int, unified bool) bool {
	first := firstNode
	if unified {
		first = firstUnified
	}
	return major >= first && major <= lastNode
}

// nodeMajor finds the version in the address of the sources that node carries
// for process.release, some 50 MB into the file.
//
//	https://nodejs.org/download/release/v20.20.2/node-v20.20.2.tar.gz
func nodeMajor(r io.Reader) int {
	const before, longest = "/node-v", 16
	buf := make([]byte, 1<<20)
	kept := 0
	for {
		n, err := io.ReadFull(r, buf[kept:])
		b := buf[:kept+n]
		for rest := b; ; {
			_, after, found := bytes.Cut(rest, []byte(before))
			if !found || len(after) < longest && err == nil {
				break
			}
			digits, tail, dot := bytes.Cut(after[:min(len(after), longest)], []byte("."))
			if major, bad := strconv.Atoi(string(digits)); dot && bad == nil && len(tail) > 0 && major > 0 {
				return major
			}
			rest = after
		}
		if err != nil {
			return 0
		}
		kept = copy(buf, b[len(b)-len(before)-longest:])
	}
}
