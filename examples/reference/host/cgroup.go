// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cgroupRoot is where cgroups are mounted. The shop makes its cgroups without a
// library: it imports no package of headroom, and only golang.org/x/sys.
const cgroupRoot = "/sys/fs/cgroup"

// servicesCgroup is the parent of a cgroup for each server. Processes start in their
// cgroup, so that all their children are found.
const servicesCgroup = "headroom-reference"

// hierarchies returns the mount points of cgroups: one in v2; in v1 one for each
// controller, and possibly a unified one.
func hierarchies() []string {
	if isCgroup2(cgroupRoot) {
		return []string{cgroupRoot}
	}
	var dirs []string
	entries, _ := os.ReadDir(cgroupRoot)
	for _, e := range entries {
		if path := filepath.Join(cgroupRoot, e.Name()); e.IsDir() && exists(filepath.Join(path, "cgroup.procs")) {
			dirs = append(dirs, path)
		}
	}
	return dirs
}

// unified returns the mount point of cgroup v2, which can exist together with v1.
func unified() (string, error) {
	for _, dir := range []string{cgroupRoot, filepath.Join(cgroupRoot, "unified")} {
		if isCgroup2(dir) {
			return dir, nil
		}
	}
	return "", errors.New("no cgroup v2 hierarchy, alone or beside v1, under " + cgroupRoot)
}

// isCgroup2 reports whether a directory is a cgroup v2 root: only v2 has this file.
func isCgroup2(dir string) bool { return exists(filepath.Join(dir, "cgroup.controllers")) }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// pidsIn returns the pids of the processes in a cgroup and below it.
func pidsIn(cgroup string) []int {
	var pids []int
	//nolint:errcheck // a removed cgroup has no processes
	filepath.WalkDir(cgroup, func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return nil
		}
		text, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		for _, field := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
		return nil
	})
	return pids
}

// empty kills all processes in a cgroup of the shop, and waits until they have ended.
func empty(cgroup string) error {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		pids := pidsIn(cgroup)
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			syscall.Kill(pid, syscall.SIGKILL) //nolint:errcheck // it may have exited
		}
	}
	return fmt.Errorf("processes %v are still in cgroup %s", pidsIn(cgroup), cgroup)
}

// remove removes a cgroup and those below it. It retries, because the kernel takes a
// moment to remove the last process.
func remove(cgroup string) error {
	if !exists(cgroup) {
		return nil
	}
	entries, _ := os.ReadDir(cgroup)
	for _, e := range entries {
		if e.IsDir() {
			if err := remove(filepath.Join(cgroup, e.Name())); err != nil {
				return err
			}
		}
	}
	var err error
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = syscall.Rmdir(cgroup); err == nil || errors.Is(err, syscall.ENOENT) {
			return nil
		}
	}
	return fmt.Errorf("remove %s: %w", cgroup, err)
}
