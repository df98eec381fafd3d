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

// File returns the identity of the file that a link of /proc/PID leads to; it is zero
// if it cannot be determined. The kernel answers from memory, unlike for stat(2),
// for which it asks the server of a FUSE or NFS file system again. File returns false
// if the file system blocks even this call.
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
	// statx exists since Linux 4.11; system call filters that do not know it return
	// EPERM.
	if !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) {
		return FileID{}
	}
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return FileID{}
	}
	return FileID{Dev: uint64(st.Dev), Ino: st.Ino} //nolint:unconvert // Dev is 32 bits wide on some platforms
}
