// SPDX-License-Identifier: Apache-2.0

package live

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/lab/outside"
)

// A slowDisk is a loop device with a file system, and the cgroup whose requests
// to it are held to a rate below the device: to those who are in it, and to
// the kernel's counts, a disk that takes no more. The machine's own disk stays
// as fast as it is.
type slowDisk struct {
	device, dir string // /dev/loop0 and where it is mounted
	group       string // below each hierarchy
}

// groupHierarchies are those that the cgroup is made in: v1's, and the one of
// pressure. Identity goes by cpu.
var groupHierarchies = []string{"blkio", "memory", "cpu", "unified"}

// newSlowDisk makes one of so many MiB; limits are blkio.throttle files with
// their values.
func (l *lab) newSlowDisk(t *testing.T, mib int, limits map[string]int) *slowDisk {
	t.Helper()
	if _, err := os.Stat("/sys/fs/cgroup/blkio/blkio.throttle.read_iops_device"); err != nil {
		t.Skip("needs the blkio controller of cgroup v1 to make a slow disk")
	}
	losetup, mkfs := need(t, "losetup"), need(t, "mkfs.ext4")
	base := filepath.Join(l.dir, l.scenario)
	d := &slowDisk{dir: filepath.Join(base, "disk"), group: "headroom-lab-" + l.scenario}
	outside.Must(t, os.MkdirAll(d.dir, 0o755))
	image := filepath.Join(base, "image")
	tool(t, "dd", "if=/dev/zero", "of="+image, "bs=1M", fmt.Sprintf("count=%d", mib), "conv=fsync", "status=none")
	d.device = tool(t, losetup, "--direct-io=on", "-f", "--show", image)
	t.Cleanup(func() { tool(t, losetup, "-d", d.device) })
	tool(t, mkfs, "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard", d.device)
	d.mount(t)
	t.Cleanup(func() { outside.Must(t, unix.Unmount(d.dir, unix.MNT_DETACH)) })
	d.makeGroup(t, image, limits)
	return d
}

func (d *slowDisk) mount(t *testing.T) {
	t.Helper()
	outside.Must(t, unix.Mount(d.device, d.dir, "ext4", unix.MS_NOATIME, ""))
}

// forget mounts it anew, so that none of its files is in memory.
func (d *slowDisk) forget(t *testing.T) {
	t.Helper()
	unix.Sync()
	outside.Must(t, unix.Unmount(d.dir, 0))
	d.mount(t)
}

func (d *slowDisk) makeGroup(t *testing.T, image string, limits map[string]int) {
	t.Helper()
	for _, h := range groupHierarchies {
		dir := filepath.Join("/sys/fs/cgroup", h, d.group)
		outside.Must(t, os.Mkdir(dir, 0o755))
		t.Cleanup(func() {
			outside.Eventually(t, startLimit, "an empty cgroup to remove", func() bool { return syscall.Rmdir(dir) == nil })
		})
	}
	var st unix.Stat_t
	outside.Must(t, unix.Stat(image, &st))
	for file, limit := range limits {
		line := fmt.Sprintf("%d:%d %d", unix.Major(st.Dev), unix.Minor(st.Dev), limit)
		d.set(t, "blkio", "blkio.throttle."+file, line)
	}
}

func (d *slowDisk) set(t *testing.T, hierarchy, file, value string) {
	t.Helper()
	outside.Must(t, os.WriteFile(filepath.Join("/sys/fs/cgroup", hierarchy, d.group, file), []byte(value), 0))
}

// command is one that runs in the cgroup.
func (d *slowDisk) command(args ...string) *exec.Cmd {
	script := ""
	for _, h := range groupHierarchies {
		script += fmt.Sprintf("echo $$ > /sys/fs/cgroup/%s/%s/cgroup.procs && ", h, d.group)
	}
	return exec.Command("sh", append([]string{"-c", script + `exec "$@"`, "sh"}, args...)...)
}

// tool runs a program to its end and returns what it wrote.
func tool(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// device means a disk by its name in /dev.
func device(path string) who {
	return func(s subject) bool { return s.Kind == "disk" && "/dev/"+s.Name == path }
}
