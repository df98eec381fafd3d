// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// TestNamespaceBegin checks the paths of cgroup v2 that headroom sees in a pod: its own
// cgroup as the root, other cgroups through .., and the host's tree below a mount.
func TestNamespaceBegin(t *testing.T) {
	const pod = "/kubepods/burstable/podA/headroom"
	for _, tt := range []struct {
		name, own, in  string // content of /proc/self/cgroup, and the directory of that cgroup
		path, absolute string // content for another process, and the directory of its cgroup
	}{
		{"a pod", "/", pod, "/../../podB/c", "/kubepods/burstable/podB/c"},
		{"a pod, and the host's own", "/", pod, "/../../../../system.slice/cron.service", "/system.slice/cron.service"},
		{"below the namespace's root", "/inner", pod + "/inner", "/../../podB/c", "/kubepods/burstable/podB/c"},
		{"the host's namespace", "/system.slice/headroom.service", "/system.slice/headroom.service", "/kubepods/podB/c", "/kubepods/podB/c"},
		{"the root", "/", "/", "/kubepods/podB/c", "/kubepods/podB/c"},
		{"not in the tree that is mounted", "/", "", "/../../podB/c", "/podB/c"},
	} {
		proc, tree := t.TempDir(), t.TempDir()
		write := func(name, text string) {
			t.Helper()
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(filepath.Join(tree, "cgroup.controllers"), "cpu\n")
		write(filepath.Join(tree, "a/cgroup.procs"), "1"+strconv.Itoa(os.Getpid())+"\n")
		write(filepath.Join(proc, "self/cgroup"), "0::"+tt.own+"\n")
		if tt.in != "" {
			write(filepath.Join(tree, tt.in, "cgroup.procs"), "1\n"+strconv.Itoa(os.Getpid())+"\n")
		}
		if got := cgroupOf([]byte("0::"+tt.path+"\n"), namespaceBegin(proc, tree)); got != tt.absolute {
			t.Errorf("%s: cgroup = %q, want %q", tt.name, got, tt.absolute)
		}
	}
}

// TestNoNamespaceOnV1 checks that there is no namespace if there is no unified
// hierarchy.
func TestNoNamespaceOnV1(t *testing.T) {
	if got := namespaceBegin("/proc", t.TempDir()); got != "" {
		t.Errorf("the namespace begins at %q, want the root", got)
	}
}
