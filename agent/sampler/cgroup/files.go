// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/refusal"
)

// fdShare is the divisor that gives this package's share of the descriptor limit:
// reading through an open descriptor costs a sixth of opening the file again.
const fdShare = 4

// maxFile is the maximum size read of one file: memory.stat has about 80 short
// lines, 3 kB.
const maxFile = 8192

// files reads small files repeatedly.
type files struct {
	budget int // descriptors that may still be opened and kept
	// starved is the error of opening a file that exists.
	starved error
	buf     [maxFile]byte
}

func newFiles() *files {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return &files{}
	}
	return &files{budget: int(min(limit.Cur, 1<<20) / fdShare)}
}

// A file is one file of a cgroup. The zero file does not exist.
type file struct {
	path string
	fd   int // kept open if > 0
}

// read returns the beginning of f, valid until the next read.
func (fs *files) read(f *file) ([]byte, error) {
	if f.fd > 0 {
		n, err := unix.Pread(f.fd, fs.buf[:], 0)
		return fs.buf[:max(n, 0)], err
	}
	if f.path == "" {
		return nil, unix.ENOENT
	}
	fd, err := fs.open(f.path)
	if err != nil {
		return nil, err
	}
	n, err := unix.Pread(fd, fs.buf[:], 0)
	if err == nil && fs.budget > 0 {
		fs.budget--
		f.fd = fd
	} else {
		_ = unix.Close(fd) //nolint:errcheck // read only
	}
	return fs.buf[:max(n, 0)], err
}

// open opens a file to read.
func (fs *files) open(path string) (int, error) {
	for {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		fs.note(err)
		return fd, err
	}
}

// note stores an error, unless it means that a file is gone.
func (fs *files) note(err error) {
	if refusal.Limit(err) != nil {
		fs.starved = err
	}
}

// once reads a file without keeping it open.
func (fs *files) once(path string) ([]byte, error) {
	fd, err := fs.open(path)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd) //nolint:errcheck // read only
	n, err := unix.Pread(fd, fs.buf[:], 0)
	return fs.buf[:max(n, 0)], err
}

func (fs *files) close(f *file) {
	if f.fd > 0 {
		_ = unix.Close(f.fd) //nolint:errcheck // read only
		f.fd = 0
		fs.budget++
	}
}

// vanished reports whether a file's cgroup was removed: ENODEV is returned by a
// descriptor of a removed cgroup.
func vanished(err error) bool {
	return errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOENT)
}
