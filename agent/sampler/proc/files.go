// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/sampler"
)

// fdShare is the divisor that gives this package's share of the descriptor limit:
// opening a file of /proc costs more than reading it, so files are kept open.
const fdShare = 4

// files reads small files of /proc repeatedly.
type files struct {
	proc   string
	budget int // descriptors that may still be opened and kept
	path   []byte
	buf    [8192]byte
}

func newFiles(proc string) files {
	f := files{proc: proc}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
		f.budget = int(min(limit.Cur, 1<<20) / fdShare)
	}
	return f
}

// A kept file stays open from reading to reading when fd > 0. It keeps
// referring to the process that it was opened for, even if the pid is reused.
type kept struct {
	fd int
}

// pid returns the path of a file of a process.
func (f *files) pid(pid int, file string) string {
	f.path = append(f.path[:0], f.proc...)
	f.path = append(f.path, '/')
	f.path = strconv.AppendInt(f.path, int64(pid), 10)
	f.path = append(f.path, '/')
	return string(append(f.path, file...))
}

// again reads through k, and opens the file if it is not open.
func (f *files) again(k *kept, pid int, file string) ([]byte, error) {
	if k.fd > 0 {
		b, err := f.from(k.fd)
		if err == nil && len(b) > 0 {
			return b, nil
		}
		f.close(k) // ESRCH: the process is gone, but the pid may be in use again
	}
	path := f.pid(pid, file)
	if f.budget <= 0 {
		return f.once(path)
	}
	fd, err := openFile(path)
	if err != nil {
		return nil, err
	}
	k.fd = fd
	f.budget--
	return f.from(fd)
}

func (f *files) from(fd int) ([]byte, error) {
	n, err := unix.Pread(fd, f.buf[:], 0)
	return f.buf[:max(n, 0)], err
}

// once reads a file without keeping it open. The result is valid until the next
// read.
func (f *files) once(path string) ([]byte, error) {
	fd, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd) //nolint:errcheck // read only
	return f.from(fd)
}

func (f *files) close(k *kept) {
	if k.fd > 0 {
		_ = unix.Close(k.fd) //nolint:errcheck // read only
		k.fd = 0
		f.budget++
	}
}

func openFile(path string) (int, error) {
	for {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// numbers yields the numeric entries of a directory, in the order in which the
// kernel lists them.
func numbers(dir int, buf []byte, yield func(int) bool) error {
	if _, err := unix.Seek(dir, 0, 0); err != nil {
		return err
	}
	for {
		n, err := unix.Getdents(dir, buf)
		if err != nil || n <= 0 {
			return err
		}
		for b := buf[:n]; len(b) > 0; {
			size := int(binary.NativeEndian.Uint16(b[16:])) // linux_dirent64: ino, off, reclen, type, name
			if number := entry(b[19:size]); number >= 0 && !yield(number) {
				return nil
			}
			b = b[size:]
		}
	}
}

// entry returns the number that makes up a whole word, or -1.
func entry(word []byte) int {
	name, _, _ := bytes.Cut(word, []byte{0})
	n, ok := sampler.Whole(name)
	if !ok || n > math.MaxInt32 {
		return -1
	}
	return int(n)
}
