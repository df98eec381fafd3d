// SPDX-License-Identifier: Apache-2.0

package live

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/internal/testutil/cgroups"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// A slowDisk is a loop device with a file system, and a cgroup whose requests to it
// are limited: for the processes in the cgroup, and in the kernel's counters, it is
// a saturated disk. The machine's own disk is not affected.
type slowDisk struct {
	device, dir string // such as /dev/loop0, and its mount point
	group       *cgroups.Group
}

// diskControllers are the controllers of the cgroup. Unified has pressure, and
// headroom finds the cgroup of a process in the hierarchy of CPU.
var diskControllers = []cgroups.Controller{cgroups.BlockIO, cgroups.Memory, cgroups.CPU, cgroups.Unified}

// rates are the limits of a cgroup's requests to a disk, per second. 0 means no limit.
type rates struct{ readIOPS, writeIOPS, readBPS uint64 }

// of returns the limits for the disk that contains a file.
func (r rates) of(t *testing.T, file string) *specs.LinuxResources {
	t.Helper()
	var st unix.Stat_t
	outside.Must(t, unix.Stat(file, &st))
	limit := func(rate uint64) (all []specs.LinuxThrottleDevice) {
		if rate > 0 {
			d := specs.LinuxThrottleDevice{Rate: rate}
			d.Major, d.Minor = int64(unix.Major(st.Dev)), int64(unix.Minor(st.Dev))
			all = append(all, d)
		}
		return all
	}
	return &specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{
		ThrottleReadIOPSDevice: limit(r.readIOPS), ThrottleWriteIOPSDevice: limit(r.writeIOPS), ThrottleReadBpsDevice: limit(r.readBPS),
	}}
}

// newSlowDisk makes a slow disk of mib MiB.
func (l *lab) newSlowDisk(t *testing.T, mib int, limits rates) *slowDisk {
	t.Helper()
	if cgroups.V2() || !cgroups.Has(cgroups.BlockIO) {
		t.Skip("needs the blkio controller of cgroup v1 to make a slow disk")
	}
	losetup, mkfs := need(t, "losetup"), need(t, "mkfs.ext4")
	base := filepath.Join(l.dir, l.scenario)
	d := &slowDisk{dir: filepath.Join(base, "disk")}
	outside.Must(t, os.MkdirAll(d.dir, 0o755))
	image := filepath.Join(base, "image")
	tool(t, "dd", "if=/dev/zero", "of="+image, "bs=1M", fmt.Sprintf("count=%d", mib), "conv=fsync", "status=none")
	d.device = tool(t, losetup, "--direct-io=on", "-f", "--show", image)
	t.Cleanup(func() { tool(t, losetup, "-d", d.device) })
	tool(t, mkfs, "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard", d.device)
	d.mount(t)
	t.Cleanup(func() { outside.Must(t, unix.Unmount(d.dir, unix.MNT_DETACH)) })
	d.group = newGroup(t, "headroom-lab-"+l.scenario, limits.of(t, image), diskControllers...)
	return d
}

func (d *slowDisk) mount(t *testing.T) {
	t.Helper()
	outside.Must(t, unix.Mount(d.device, d.dir, "ext4", unix.MS_NOATIME, ""))
}

// untilInFlight waits until the disk has n requests in flight: fio takes up to three
// seconds to begin. /sys/block/loop0/inflight has the reads and the writes:
//
//	0       17
func (d *slowDisk) untilInFlight(t *testing.T, n int) {
	t.Helper()
	file := filepath.Join("/sys/block", filepath.Base(d.device), "inflight")
	outside.Eventually(t, startLimit, fmt.Sprintf("%d requests in flight on %s", n, d.device), func() bool {
		text, err := os.ReadFile(file)
		var reads, writes int
		if err == nil {
			_, err = fmt.Sscan(string(text), &reads, &writes)
		}
		outside.Must(t, err)
		return reads+writes >= n
	})
}

// forget remounts the disk, so that none of its files is in the page cache.
func (d *slowDisk) forget(t *testing.T) {
	t.Helper()
	unix.Sync()
	outside.Must(t, unix.Unmount(d.dir, 0))
	d.mount(t)
}

// tool runs a program to its end and returns its output.
func tool(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// device matches a disk by its name in /dev.
func device(path string) who {
	return func(s subject) bool { return s.Kind == "disk" && "/dev/"+s.Name == path }
}
