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

const cgroupRoot = "/sys/fs/cgroup"

// servicesCgroup is the parent of a cgroup for each server. A process is
// started inside it, so that none of its children is ever lost.
const servicesCgroup = "headroom-reference"

// hierarchies are the mount points of cgroups: one in v2; a folder for each
// controller, and perhaps a unified one, in v1.
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

// unified is where cgroup v2 is, alone or beside v1.
func unified() (string, error) {
	for _, dir := range []string{cgroupRoot, filepath.Join(cgroupRoot, "unified")} {
		if isCgroup2(dir) {
			return dir, nil
		}
	}
	return "", errors.New("no cgroup v2 hierarchy, alone or beside v1, under " + cgroupRoot)
}

// isCgroup2 asks for the file that only v2 has at its root.
func isCgroup2(dir string) bool { return exists(filepath.Join(dir, "cgroup.controllers")) }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// pidsIn are the processes in a cgroup and below it.
func pidsIn(cgroup string) []int {
	var pids []int
	//nolint:errcheck // a cgroup that is gone has no processes
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

// empty ends every process of a cgroup that is the shop's own, and waits.
func empty(cgroup string) error {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		pids := pidsIn(cgroup)
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			syscall.Kill(pid, syscall.SIGKILL) //nolint:errcheck // it may be gone
		}
	}
	return fmt.Errorf("processes %v do not leave %s", pidsIn(cgroup), cgroup)
}

// remove removes a cgroup and those below it. The kernel needs a moment to
// forget the last process.
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
