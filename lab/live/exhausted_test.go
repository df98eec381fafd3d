// SPDX-License-Identifier: Apache-2.0

package live

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/internal/testutil/cgroups"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

const (
	kernelLimit = "kernel-limit-exhaustion"
	diskSpace   = "disk-space-exhaustion"
)

// usedUp uses up limits of the kernel and the space of file systems, each beside one that
// is used and has room: a parent that does not wait for its children in a cgroup of 60
// processes, the inotify instances of a user, a log that fills a file system, and a deleted
// file that is still open.
func usedUp(t *testing.T, l *lab) {
	python := need(t, "python3")
	full := pidsGroup(t, "headroom-lab-zombies", 60)
	parent := start(t, full.Command(python, programs+"/used_up.py", "zombies"))
	start(t, pidsGroup(t, "headroom-lab-pool", 80).Command(python, programs+"/used_up.py", "pool", "50"))
	watcher := start(t, exec.Command(python, programs+"/used_up.py", "inotify", "34567", "10000"))
	start(t, exec.Command(python, programs+"/used_up.py", "inotify", "34568", "20"))

	log, deleted, rotated := smallDisk(t), smallDisk(t), smallDisk(t)
	filler := start(t, exec.Command(python, programs+"/used_up.py", "log", log))
	holder := start(t, exec.Command(python, programs+"/used_up.py", "deleted", deleted))
	start(t, exec.Command(python, programs+"/used_up.py", "rotate", rotated))
	outside.Eventually(t, startLimit, "refused processes", func() bool { return refusedProcesses(t, full) > 0 })
	for _, dir := range []string{log, deleted, rotated} {
		outside.Eventually(t, startLimit, "files in "+dir, func() bool { return used(t, dir) > 30*mib })
	}
	time.Sleep(2 * time.Second)
	r := l.observe(t)

	f := r.find(t, kernelLimit, "zombies", inGroup(full.Path))
	f.recommends(t, "reap-children").quantity(t, 50, 60)
	f.mentions(t, "pids.max", "used_up.py")
	if len(f.Blame) == 0 || f.Blame[0].Subject.PID != parent.pid {
		t.Errorf("blame = %+v, want the parent (pid %d) first", f.Blame, parent.pid)
	}
	f = r.find(t, kernelLimit, "inotify", pid(watcher.pid))
	f.mentions(t, "fs.inotify.max_user_instances", "user 34567")
	f.recommends(t, "fix-leak")

	f = r.find(t, diskSpace, "growth", named(log))
	f.recommends(t, "rotate-logs")
	if len(f.Blame) == 0 || f.Blame[0].Subject.PID != filler.pid {
		t.Errorf("blame = %+v, want the writer (pid %d) first", f.Blame, filler.pid)
	}
	f = r.find(t, diskSpace, "deleted-but-open", named(deleted))
	f.recommends(t, "free-space").quantity(t, 49*mib, 51*mib)
	if len(f.Blame) == 0 || f.Blame[0].Subject.PID != holder.pid {
		t.Errorf("blame = %+v, want the holder (pid %d) first", f.Blame, holder.pid)
	}
	r.nothingElse(t, about(kernelLimit, inGroup(full.Path)), about(kernelLimit, pid(watcher.pid)), about(diskSpace, named(log)), about(diskSpace, named(deleted)))
}

func pidsGroup(t *testing.T, path string, limit int64) *cgroups.Group {
	t.Helper()
	return newGroup(t, path, &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}, cgroups.CPU, "pids")
}

// smallDisk mounts a file system of 64 MiB for the scenario.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	outside.Must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64m"))
	t.Cleanup(func() { outside.Must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

func used(t *testing.T, dir string) int {
	t.Helper()
	var st unix.Statfs_t
	outside.Must(t, unix.Statfs(dir, &st))
	return int(st.Blocks-st.Bfree) * int(st.Bsize)
}

// refusedProcesses returns how often the limit of a cgroup was reached.
func refusedProcesses(t *testing.T, g *cgroups.Group) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(g.Dir("pids"), "pids.events"))
	outside.Must(t, err)
	n, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(string(text), "max ")))
	outside.Must(t, err)
	return n
}
