// SPDX-License-Identifier: Apache-2.0

// Package files opens files in places where other users may have put links, devices or
// FIFOs. A directory is opened once, step by step, and file names are relative to it
// from then on: later changes of its path have no effect.
package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrUnsafe marks a path that another user controls.
var ErrUnsafe = errors.New("not safe to write to")

// maxLinks is the maximum number of symbolic links in a path, as in the kernel
// (path_resolution(7)).
const maxLinks = 40

// A visit checks one step of a path: a directory or a symbolic link. path is
// for messages.
type visit func(path string, st *unix.Stat_t) error

// walk opens the directory at path and calls check for each step, including the first
// directory. It follows symbolic links itself, so that check sees each of them.
func walk(path string, check visit) (*os.File, error) {
	w := walker{check: check}
	defer func() { w.close() }()
	if err := w.begin(path); err != nil {
		return nil, err
	}
	for rest := strings.Split(path, "/"); len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		if name == "" || name == "." {
			continue
		}
		target, err := w.step(name)
		if err != nil {
			return nil, err
		}
		if target != "" {
			rest = append(strings.Split(target, "/"), rest...)
		}
	}
	fd, err := unix.Openat(w.at, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// A walker is the current position of a walk.
type walker struct {
	check visit
	at    int // open with O_PATH; 0 means none
	shown string
	links int
}

func (w *walker) close() {
	if w.at > 0 {
		_ = unix.Close(w.at) // nothing was written through it
	}
}

// begin moves to the start of path: the root, or the working directory.
func (w *walker) begin(path string) error {
	start := "."
	if strings.HasPrefix(path, "/") {
		start = "/"
	}
	fd, st, err := look(unix.AT_FDCWD, start)
	if err != nil {
		return &fs.PathError{Op: "open", Path: start, Err: err}
	}
	w.close()
	w.at, w.shown = fd, strings.TrimPrefix(start, ".")
	return w.check(start, st)
}

// step moves to name, or returns the target if name is a link.
func (w *walker) step(name string) (target string, err error) {
	shown := name
	if w.shown != "" {
		shown = strings.TrimSuffix(w.shown, "/") + "/" + name
	}
	fd, st, err := look(w.at, name)
	if err != nil {
		return "", &fs.PathError{Op: "open", Path: shown, Err: err}
	}
	if err := w.check(shown, st); err != nil {
		_ = unix.Close(fd)
		return "", err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		w.close()
		w.at, w.shown = fd, shown
		return "", nil
	}
	target, err = readlink(fd)
	_ = unix.Close(fd)
	if w.links++; err == nil && w.links > maxLinks {
		err = unix.ELOOP
	}
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: shown, Err: err}
	}
	if strings.HasPrefix(target, "/") {
		return target, w.begin("/")
	}
	return target, nil
}

// look opens name without its content, and does not follow a link. The type of the file
// cannot change between the two system calls.
func look(at int, name string) (int, *unix.Stat_t, error) {
	fd, err := unix.Openat(at, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		_ = unix.Close(fd)
		return -1, nil, err
	}
	return fd, &st, nil
}

// readlink returns the target of an open link.
func readlink(fd int) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// trusted reports whether a user may determine where this process writes: root and the
// user of this process.
func trusted(uid uint32) bool { return uid == 0 || int(uid) == os.Geteuid() }

// owner returns the name of a user for messages.
func owner(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return fmt.Sprintf("user %s (uid %s)", u.Username, id)
	}
	return "uid " + id
}
