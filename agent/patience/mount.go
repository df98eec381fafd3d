// SPDX-License-Identifier: Apache-2.0

package patience

import (
	"bufio"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A mount is the place where a process sees a file system, and the type of the file
// system.
type mount struct {
	point, kind string
	dev         uint64
}

// maxMounts limits the lines that are read: a node of 250 pods has about 5,000.
const maxMounts = 50_000

// mountOf returns the mount that a call waits for, in the process's own mount
// namespace.
func (p *Patience) mountOf(c *call) mount {
	for m := range mounts(p.path(c.PID, "mountinfo")) {
		if m.dev == c.dev {
			return m
		}
	}
	return mount{dev: c.dev}
}

// Device returns the device number of the file system that a file is on, as the reader
// of the /proc at proc sees it, or 0 if it is not known. It does not access the file,
// unlike stat(2), which can wait for a server on the path.
func Device(proc, file string) uint64 {
	var on mount
	for m := range mounts(filepath.Join(proc, "self", "mountinfo")) {
		if len(m.point) >= len(on.point) && within(file, m.point) {
			on = m // of two mounts at one place the later one is on top
		}
	}
	return on.dev
}

func within(file, dir string) bool {
	return dir == "/" || file == dir || strings.HasPrefix(file, dir+"/")
}

// mounts yields the lines of a mountinfo file. The list comes from the kernel: reading
// it does not wait for any of the file systems.
func mounts(path string) iter.Seq[mount] {
	return func(yield func(mount) bool) {
		f, err := os.Open(path)
		if err != nil {
			return
		}
		defer f.Close() //nolint:errcheck // read only
		lines := bufio.NewScanner(f)
		for n := 0; n < maxMounts && lines.Scan(); n++ {
			if m, ok := parseMount(lines.Text()); ok && !yield(m) {
				return
			}
		}
	}
}

// parseMount reads a line of mountinfo (proc_pid_mountinfo(5)).
//
//	42 27 0:39 / /mnt/data rw,relatime shared:1 - fuse.sshfs host:/data rw,user_id=0
func parseMount(line string) (mount, bool) {
	before, after, ok := strings.Cut(line, " - ")
	fields := strings.Fields(before)
	if !ok || len(fields) < 5 {
		return mount{}, false
	}
	var major, minor uint32
	if _, err := fmt.Sscanf(fields[2], "%d:%d", &major, &minor); err != nil {
		return mount{}, false
	}
	kind, _, _ := strings.Cut(after, " ")
	return mount{point: unescape.Replace(fields[4]), kind: kind, dev: unix.Mkdev(major, minor)}, true
}

// unescape decodes the characters that mountinfo escapes because they separate its
// fields (mangle_path in fs/seq_file.c).
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// servers has the types of file systems, other than FUSE and NFS, that wait for a
// server or for another host.
var servers = []string{"cifs", "smb3", "9p", "virtiofs", "ceph", "afs", "lustre", "gpfs", "beegfs", "orangefs", "coda", "ocfs2", "gfs2", "pvfs2"}

func (m mount) fuse() bool {
	return m.kind == "fuse" || strings.HasPrefix(m.kind, "fuse.") || m.kind == "fuseblk"
}

func (m mount) remote() bool {
	return m.fuse() || strings.HasPrefix(m.kind, "nfs") || slices.Contains(servers, m.kind)
}
