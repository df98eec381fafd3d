// SPDX-License-Identifier: Apache-2.0

package patience

import (
	"errors"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// A FileID is a file's identity on this host, as long as it is mounted.
type FileID struct{ Dev, Ino uint64 }

// File returns the identity of what a link of /proc/PID leads to; it is zero
// where that may not be known. The kernel answers from what it has in memory:
// unlike stat(2), which asks the server of a FUSE or NFS file system again. False
// is for a file system that lets even that wait.
func (p *Patience) File(c Call) (FileID, bool) {
	path := p.path(c.PID, c.File)
	return wait(p, &call{Call: c, link: true}, func() FileID { return identify(path) })
}

func (p *Patience) path(pid int, file string) string {
	return filepath.Join(p.proc, strconv.Itoa(pid), file)
}

func identify(path string) FileID {
	var x unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_DONT_SYNC|unix.AT_NO_AUTOMOUNT, unix.STATX_INO, &x)
	if err == nil {
		return FileID{Dev: unix.Mkdev(x.Dev_major, x.Dev_minor), Ino: x.Ino}
	}
	// statx came with Linux 4.11; filters of system calls that do not know it
	// answer EPERM.
	if !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) {
		return FileID{}
	}
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return FileID{}
	}
	return FileID{Dev: uint64(st.Dev), Ino: st.Ino} //nolint:unconvert // Dev is 32 bits wide on some platforms
}
