// SPDX-License-Identifier: Apache-2.0

package limits

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxListed is the maximum number of descriptors of a process that are listed: about
	// 20 ms.
	maxListed = 20_000
	// listRest is the pause after listing the descriptors of a process, as a multiple of
	// the time that it took: a server with very many connections is listed seldom.
	listRest = 100
	// maxWatchBytes is the maximum size read of the watches of an instance: 160,000
	// watches at 100 bytes.
	maxWatchBytes = 16 << 20
)

// An instance is an inotify instance that a process holds.
type instance struct {
	fd      int
	watches int
}

func (p *process) watches() int {
	n := 0
	for _, i := range p.inotify {
		n += i.watches
	}
	return n
}

// listInotify finds the inotify instances of a process. It lists the descriptors if their
// number has changed, or if the process held an instance; before Linux 6.2, which does not
// count them, now and then.
func (r *reader) listInotify(p *process, fresh bool) error {
	dir := r.path(p.pid, "fd")
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return err
	}
	due := fresh || st.Size != p.fds || len(p.inotify) > 0 || st.Size == 0 && (p.pid+r.round)%slowEvery == 0
	now := time.Now()
	if !due || now.Before(p.nextList) {
		return nil
	}
	p.fds = st.Size
	err := r.list(p, dir)
	p.nextList = now.Add(listRest * time.Since(now))
	return err
}

func (r *reader) list(p *process, path string) error {
	dir, err := os.Open(path)
	if err != nil {
		r.denied = r.denied || errors.Is(err, fs.ErrPermission)
		return err
	}
	defer dir.Close() //nolint:errcheck // read only
	names, err := dir.Readdirnames(maxListed)
	if err != nil && len(names) == 0 {
		return nil //nolint:nilerr // it has no descriptor, or is gone
	}
	r.cut = r.cut || len(names) == maxListed
	p.inotify = p.inotify[:0]
	for _, n := range names {
		if fd, err := strconv.Atoi(n); err == nil && r.isInotify(int(dir.Fd()), n) && !r.inherited(p, fd) {
			p.inotify = append(p.inotify, instance{fd: fd, watches: r.countWatches(p.pid, n)})
		}
	}
	return nil
}

// isInotify reports whether a link of /proc/PID/fd leads to an inotify instance. Reading
// the link does not access the file.
func (r *reader) isInotify(dir int, link string) bool {
	n, err := unix.Readlinkat(dir, link, r.buf[:])
	r.denied = r.denied || errors.Is(err, fs.ErrPermission)
	return err == nil && string(r.buf[:n]) == "anon_inode:inotify"
}

// kcmpFile compares two descriptors (KCMP_FILE in include/uapi/linux/kcmp.h).
const kcmpFile = 0

// inherited reports whether the parent of a process has the same instance: fork copies
// descriptors, and the kernel counts an instance once.
func (r *reader) inherited(p *process, fd int) bool {
	parent := r.procs[p.parent]
	if parent == nil {
		return false
	}
	for _, i := range parent.inotify {
		if i.fd == fd {
			differs, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(p.parent), uintptr(p.pid), kcmpFile, uintptr(fd), uintptr(fd), 0)
			return errno == 0 && differs == 0
		}
	}
	return false
}

// countWatches counts the watches of an instance. Each is a line (inotify_show_fdinfo in
// fs/notify/fdinfo.c):
//
//	inotify wd:3 ino:9e7e sdev:800013 mask:800afce ignored_mask:0 fhandle-bytes:8 …
func (r *reader) countWatches(pid int, fd string) int {
	f, err := os.Open(r.path(pid, "fdinfo/"+fd))
	if err != nil {
		return 0
	}
	defer f.Close() //nolint:errcheck // read only
	n, read, buf := 0, 0, make([]byte, 64<<10)
	for read < maxWatchBytes {
		// The kernel returns whole lines.
		got, err := f.Read(buf)
		n += bytes.Count(buf[:got], []byte("inotify wd:"))
		if read += got; err != nil {
			return n
		}
	}
	r.cut = true
	return n
}
