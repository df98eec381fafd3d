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

// A sight is the memory that a process sees, and whether a limit in it comes from
// the unified hierarchy.
type sight struct {
	memory      float64
	unified, ok bool
}

// memorySeen returns the memory size that a process sees: the limit of its own
// cgroup, if its own mounts show it, or the host's. It is read as libuv does
// (uv__get_cgroup_constrained_memory in src/unix/linux.c): ancestors and the soft
// limit of v1 are ignored, and without /sys/fs/cgroup in the container there is no
// limit. A JVM inherits: in v1 it uses the limit of an ancestor if its own cgroup
// has none. A limit that changed since the process started is returned with its
// current value.
//
// The files are read below the process's root directory, on any file system.
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

// limitIn reads a limit at the path that the process has on the host, or at the
// root if the process sees only its own part of the tree.
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

// inheritedIn reads the lowest limit of a v1 cgroup and its ancestors. The kernel
// reports it even if the ancestors are not mounted.
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

// memoryPaths returns the path in the hierarchy of the memory controller, "" if
// there is none, and the path in the unified hierarchy.
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

// nodes caches the major version of each executable of node, 0 if it has none.
type nodes struct {
	mu    sync.Mutex
	major map[patience.FileID]int
}

const (
	// The range of versions whose defaults were measured.
	firstNode, lastNode = 16, 25
	// firstUnified is the first version whose libuv (1.45) reads limits of cgroup v2.
	firstUnified = 20
	// nodePatience is the time limit for reading an executable of node: it has 100 MB,
	// of which half is read.
	nodePatience = time.Second
	// maxNodes is the maximum number of executables cached.
	maxNodes = 200
)

// version returns the major version of a process's node. ok is false while it is
// not known, because the executable cannot be opened or is still being read.
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

// inspect reads an executable and caches its version, even if the caller stopped
// waiting.
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

// follows reports whether the default limit of a node version can be computed from
// the memory that memorySeen returns.
func follows(major int, unified bool) bool {
	first := firstNode
	if unified {
		first = firstUnified
	}
	return major >= first && major <= lastNode
}

// nodeMajor finds the version in the URL of the sources that node contains for
// process.release, about 50 MB into the file.
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
