// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// leftovers are the objects that the shop could leave behind.
type leftovers struct{ cgroups, mounts, processes []string }

func look() leftovers {
	return leftovers{cgroups(), mounts(), ownProcesses()}
}

// mustHaveLeftNothing compares with the state before. It only counts objects of the
// shop, because other programs use this host as well.
func mustHaveLeftNothing(t *testing.T, before leftovers) {
	t.Helper()
	after := look()
	if _, err := os.Stat(stateDir); err == nil {
		t.Errorf("%s was not removed", stateDir)
	}
	for what, lists := range map[string][2][]string{
		"cgroup": {before.cgroups, after.cgroups}, "mount": {before.mounts, after.mounts}, "process": {before.processes, after.processes},
	} {
		for _, left := range lists[1] {
			if !slices.Contains(lists[0], left) {
				t.Errorf("the shop left a %s: %s", what, left)
			}
		}
	}
}

// cgroups returns the cgroups of the servers and of pods. A pod belongs to the shop if
// the shop's state lists it: other programs may run containers here.
func cgroups() []string {
	var all []string
	for _, root := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
		for _, pattern := range []string{"headroom-reference", "headroom-reference/*", "kubepods/*/pod*"} {
			found, _ := filepath.Glob(root + pattern)
			for _, path := range found {
				if !strings.Contains(path, "kubepods") || strings.Contains(pods, filepath.Base(path)[len("pod"):]) {
					all = append(all, path)
				}
			}
		}
	}
	return all
}

// pods is the latest state of the shop, which lists its pods.
var pods string

func rememberPods() {
	if text, err := os.ReadFile(stateDir + "/state.json"); err == nil {
		pods = string(text)
	}
}

func containers() []string {
	found, _ := filepath.Glob(stateDir + "/runc/*")
	return found
}

func mounts() []string {
	text, _ := os.ReadFile("/proc/self/mountinfo")
	var all []string
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, stateDir) {
			all = append(all, strings.TrimSpace(line))
		}
	}
	return all
}

// ownProcesses returns the processes in the shop's cgroups or with a working directory
// in its folder.
func ownProcesses() []string {
	var all []string
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		cgroup, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cgroup"))
		cwd, _ := os.Readlink(filepath.Join("/proc", e.Name(), "cwd"))
		exe, err := os.Readlink(filepath.Join("/proc", e.Name(), "exe"))
		if err != nil { // a kernel thread, or a zombie, which holds nothing
			continue
		}
		if strings.Contains(string(cgroup), "headroom-reference") || strings.HasPrefix(cwd, stateDir) {
			all = append(all, e.Name()+" "+exe)
		}
	}
	return all
}
