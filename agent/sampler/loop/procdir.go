// SPDX-License-Identifier: Apache-2.0

package loop

import (
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
