// SPDX-License-Identifier: Apache-2.0

package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A Dir is an open directory. Names of files in it have no slash.
type Dir struct{ f *os.File }

// OpenOwn opens a directory in which other users can neither remove nor rename this
// user's files, and whose path they cannot redirect. It creates the last part of the
// path if that is missing. If other users can write to a directory of root or of this
// user, such as a Kubernetes emptyDir, OpenOwn opens a directory of its own inside it.
func OpenOwn(path string) (*Dir, error) {
	path, err := absolute(path)
	if err != nil {
		return nil, err
	}
	f, err := walk(path, private)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeDir(path); err != nil {
			return nil, err
		}
		f, err = walk(path, private)
	}
	if errors.Is(err, ErrUnsafe) {
		f, err = openInShared(path)
	}
	if err != nil {
		return nil, err
	}
	return &Dir{f}, nil
}

// absolute joins the working directory and path. It leaves .. to walk, because after a
// symbolic link .. is not the previous element of the path.
func absolute(path string) (string, error) {
	if path == "" {
		return "", errors.New("the path is empty")
	}
	if filepath.IsAbs(path) {
		return path, nil
	}
	wd, err := os.Getwd()
	return wd + "/" + path, err
}

func makeDir(path string) error {
	parent, name := filepath.Split(strings.TrimRight(path, "/"))
	f, err := walk(parent, private)
	if err != nil {
		return err
	}
	defer f.Close()                                                                      //nolint:errcheck // read only
	if err := unix.Mkdirat(int(f.Fd()), name, 0o700); err != nil && err != unix.EEXIST { //nolint:errorlint // a bare errno
		return &fs.PathError{Op: "mkdir", Path: path, Err: err}
	}
	return nil
}

// private refuses a step that other users can redirect. Users who can write to a sticky
// directory such as /tmp cannot rename files of other users.
func private(path string, st *unix.Stat_t) error {
	isLink := st.Mode&unix.S_IFMT == unix.S_IFLNK
	switch {
	case !trusted(st.Uid):
		return fmt.Errorf("%w: %s belongs to %s, who can redirect it; run chown %d %s", ErrUnsafe, path, owner(st.Uid), os.Geteuid(), path)
	case isLink || st.Mode&unix.S_ISVTX != 0:
		return nil
	case st.Mode&0o002 != 0:
		return fmt.Errorf("%w: %s can be written to by every user; run chmod o-w %s", ErrUnsafe, path, path)
	case st.Mode&0o020 != 0 && !ownGroup(st.Gid):
		return fmt.Errorf("%w: %s can be written to by group %d; run chmod g-w %s", ErrUnsafe, path, st.Gid, path)
	}
	return nil
}

// ownGroup reports whether a group is root's or one of this process.
func ownGroup(gid uint32) bool {
	if gid == 0 || int(gid) == os.Getegid() {
		return true
	}
	groups, err := os.Getgroups()
	return err == nil && slices.Contains(groups, int(gid))
}

// Open opens a regular file that root or the user of this process owns. It does not
// follow links and does not wait for the other end of a FIFO. With unix.O_CREAT it
// creates the file if it is missing.
func (d *Dir) Open(name string, flags int) (*os.File, error) {
	fd, err := unix.Openat(int(d.f.Fd()), name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%w: %s is a symbolic link; remove it", ErrUnsafe, d.path(name))
	}
	if errors.Is(err, unix.ENXIO) {
		return nil, fmt.Errorf("%w: %s is not a regular file; remove it", ErrUnsafe, d.path(name))
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: d.path(name), Err: err}
	}
	f := os.NewFile(uintptr(fd), d.path(name))
	if err := plain(f); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// plain returns an error unless an open file is a regular file of root or this user
// with only one name.
func plain(f *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return &fs.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return fmt.Errorf("%w: %s is %s; remove it", ErrUnsafe, f.Name(), kind(uint16(st.Mode)))
	case !trusted(st.Uid):
		return fmt.Errorf("%w: %s belongs to %s; remove it", ErrUnsafe, f.Name(), owner(st.Uid))
	case st.Nlink > 1:
		return fmt.Errorf("%w: %s has another name elsewhere (a hard link); remove it", ErrUnsafe, f.Name())
	}
	return nil
}

// kind returns the name of a file type.
func kind(mode uint16) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return "a directory"
	case unix.S_IFLNK:
		return "a symbolic link"
	case unix.S_IFIFO:
		return "a FIFO"
	case unix.S_IFSOCK:
		return "a socket"
	case unix.S_IFCHR, unix.S_IFBLK:
		return "a device"
	}
	return "a file"
}

// Create creates a new file. It first removes the file that has the name.
func (d *Dir) Create(name string) (*os.File, error) {
	if err := d.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return d.Open(name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY)
}

// Remove removes a file that is not a directory.
func (d *Dir) Remove(name string) error {
	if err := unix.Unlinkat(int(d.f.Fd()), name, 0); err != nil {
		return &fs.PathError{Op: "remove", Path: d.path(name), Err: err}
	}
	return nil
}

// Rename renames a file within the directory.
func (d *Dir) Rename(from, to string) error {
	fd := int(d.f.Fd())
	if err := unix.Renameat(fd, from, fd, to); err != nil {
		return &os.LinkError{Op: "rename", Old: d.path(from), New: d.path(to), Err: err}
	}
	return nil
}

// Names lists the directory.
func (d *Dir) Names() ([]string, error) {
	fd, err := unix.Openat(int(d.f.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0) // a position of its own
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: d.f.Name(), Err: err}
	}
	f := os.NewFile(uintptr(fd), d.f.Name())
	defer f.Close() //nolint:errcheck // read only
	return f.Readdirnames(-1)
}

// Sync makes renames survive a crash of the machine.
func (d *Dir) Sync() error { return d.f.Sync() }

// Close closes the directory, not the files that were opened in it.
func (d *Dir) Close() error { return d.f.Close() }

func (d *Dir) path(name string) string { return strings.TrimSuffix(d.f.Name(), "/") + "/" + name }
