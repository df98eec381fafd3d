// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A procDir is the folder at which procfs is mounted.
type procDir string

// file returns the path of a file of a process.
func (d procDir) file(pid int, name string) string {
	return filepath.Join(string(d), strconv.Itoa(pid), name)
}

// task returns the path of a file of a thread.
func (d procDir) task(pid, tid int, name string) string {
	return filepath.Join(string(d), strconv.Itoa(pid), "task", strconv.Itoa(tid), name)
}

// children returns the processes that the main thread of pid started: none without
// CONFIG_PROC_CHILDREN.
func (d procDir) children(pid int) []int {
	b, err := os.ReadFile(d.task(pid, pid, "children"))
	if err != nil {
		return nil
	}
	var pids []int
	for _, field := range strings.Fields(string(b)) {
		if child, err := strconv.Atoi(field); err == nil {
			pids = append(pids, child)
		}
	}
	return pids
}

// readNames returns the names in a folder: all, or the first of them if most is positive.
func readNames(dir string, most int) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close() //nolint:errcheck // read only
	return d.Readdirnames(most)
}

// A descriptor is an open file of a process: its flags of open(2), and its inode, 0 before
// Linux 5.14.
type descriptor struct {
	flags int
	inode uint64
}

// descriptor reads /proc/PID/fdinfo/FD.
func (d procDir) descriptor(pid int, fd string) (descriptor, bool) {
	info, err := os.ReadFile(d.file(pid, "fdinfo/"+fd))
	if err != nil {
		return descriptor{}, false
	}
	flags, err := strconv.ParseUint(field(info, "flags:"), 8, 32)
	if err != nil {
		return descriptor{}, false
	}
	inode, _ := strconv.ParseUint(field(info, "ino:"), 10, 64)
	return descriptor{flags: int(flags), inode: inode}, true
}

// field returns the value of a line of a file such as /proc/PID/fdinfo/FD.
//
//	pos:	0
//	flags:	0100001
//	mnt_id:	14
//	ino:	57
func field(file []byte, name string) string {
	for line := range bytes.Lines(file) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			return string(bytes.TrimSpace(rest))
		}
	}
	return ""
}
