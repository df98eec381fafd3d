// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/headroom-project/headroom/internal/testutil/cgroups"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

const cgroupRoot = "/sys/fs/cgroup"

// The paths of a container's cgroup, as a kubelet with the cgroupfs driver makes it.
const (
	podUID      = "0d39e4f2-6a0c-4d3a-9a52-6a6f7d4c1b11"
	containerID = "8f6a1c9c2d9c4a7bb8f2b8d3f0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3"
)

// newContainer makes the container's cgroup and sets its cpu.max.
func newContainer(t *testing.T, cpuMax string) string {
	t.Helper()
	dir := makeContainer(t, podUID, containerID)
	set(t, dir, "cpu.max", cpuMax)
	return dir
}

// makeContainer makes the cgroup of a pod's only container, with all controllers of
// this kernel, and returns its directory.
func makeContainer(t *testing.T, pod, container string) string {
	t.Helper()
	g, err := cgroups.New(filepath.Join("kubepods", "burstable", "pod"+pod, container), nil)
	outside.Must(t, err)
	t.Cleanup(func() { outside.Must(t, g.Delete()) })
	dir := g.Dir(cgroups.Unified)
	text, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	outside.Must(t, err)
	for _, c := range []string{"cpu", "cpuset", "memory", "io"} {
		if !slices.Contains(strings.Fields(string(text)), c) {
			t.Errorf("controllers of %s = %s, want %s too", dir, text, c)
		}
	}
	return dir
}

// ownPod is the UID of the pod for headroom itself.
const ownPod = "7f1d0c55-2f0e-4a56-8d0f-5f1f8f0b6c02"

// asPod makes a command run in a pod's cgroup and in a cgroup namespace whose root is
// that cgroup, as a container runtime does on cgroup v2.
func asPod(t *testing.T, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	dir, err := os.Open(makeContainer(t, ownPod, strings.Repeat("c0", 32)))
	outside.Must(t, err)
	t.Cleanup(func() { outside.Must(t, dir.Close()) })
	// Not a flag of clone: the root of the namespace would be the parent's cgroup.
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd()), Unshareflags: syscall.CLONE_NEWCGROUP}
	return cmd
}

// set writes a value to a file of a cgroup.
func set(t *testing.T, cgroup, file, value string) {
	t.Helper()
	outside.Must(t, os.WriteFile(filepath.Join(cgroup, file), []byte(value), 0))
}
