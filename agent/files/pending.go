// SPDX-License-Identifier: Apache-2.0

package files

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// newMode is the mode of a new file.
const newMode = 0o600

// A Pending is a file that gets its name when it is complete. Until then it has no
// name, or a temporary one on file systems without O_TMPFILE.
type Pending struct {
	*os.File
	dir       *Dir
	path      string
	name      string
	temporary string // "" for a file without a name
	replaces  *unix.Statx_t
}

// Create opens the file that Keep moves to path. It returns an error if path exists and
// is not a regular file, or if it belongs to another user.
func Create(path string) (*Pending, error) {
	parent, name := filepath.Split(path)
	switch name {
	case "", ".", "..":
		if path == "" {
			return nil, errors.New("the file name is empty")
		}
		return nil, fmt.Errorf("%s is a directory: name a file in it", path)
	}
	dir, err := openParent(parent)
	if err != nil {
		return nil, err
	}
	p := &Pending{dir: dir, path: path, name: name}
	if p.replaces, err = p.target(); err == nil {
		err = p.open()
	}
	if err != nil {
		_ = dir.Close() // nothing was written
		return nil, err
	}
	return p, nil
}

// openParent opens the parent directory for writing. It follows a symbolic link of
// another user only to directories of that user, because the link could lead anywhere.
func openParent(path string) (*Dir, error) {
	foreign := map[uint32]string{}
	f, err := walk(path, func(path string, st *unix.Stat_t) error {
		if st.Mode&unix.S_IFMT == unix.S_IFLNK && !trusted(st.Uid) {
			foreign[st.Uid] = path
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		_ = f.Close()
		return nil, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	for uid, link := range foreign {
		if uid != st.Uid {
			_ = f.Close()
			return nil, fmt.Errorf("%w: %s is a symbolic link that belongs to %s: give the path without it", ErrUnsafe, link, owner(uid))
		}
	}
	return &Dir{f}, nil
}

// target returns the file at the path, nil if there is none, and an error if the file
// must not be replaced.
func (p *Pending) target() (*unix.Statx_t, error) {
	var st unix.Statx_t
	err := unix.Statx(int(p.dir.f.Fd()), p.name, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS, &st)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, &fs.PathError{Op: "stat", Path: p.path, Err: err}
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		return nil, fmt.Errorf("%s is a directory: name a file in it, such as %s/host.hr", p.path, p.path)
	case unix.S_IFLNK:
		return nil, fmt.Errorf("%s is a symbolic link, which is not replaced: give the path of a regular file", p.path)
	default:
		return nil, fmt.Errorf("%s is %s, which is not replaced: give the path of a regular file", p.path, kind(st.Mode))
	}
	var dir unix.Stat_t
	if err := unix.Fstat(int(p.dir.f.Fd()), &dir); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: p.path, Err: err}
	}
	switch {
	case int(st.Uid) != os.Geteuid() && (st.Uid != dir.Uid || dir.Mode&0o002 != 0):
		return nil, fmt.Errorf("%s exists and belongs to %s: choose another name", p.path, owner(st.Uid))
	case st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0:
		return nil, fmt.Errorf("%s is a mount point and cannot be replaced: choose another name", p.path)
	case st.Attributes&(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND) != 0:
		return nil, fmt.Errorf("%s cannot be replaced: it is immutable or append-only (see lsattr)", p.path)
	}
	return &st, nil
}

// open opens a file without a name, so that nothing remains if this process ends, even
// by SIGKILL.
func (p *Pending) open() error {
	fd, err := unix.Openat(int(p.dir.f.Fd()), ".", unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, newMode)
	switch {
	case err == nil:
		p.File = os.NewFile(uintptr(fd), p.path)
		return nil
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EISDIR), errors.Is(err, unix.EINVAL):
		return p.openNamed()
	}
	return &fs.PathError{Op: "create", Path: p.path, Err: err}
}

// Temporary files have names that cannot be guessed, and are locked while they are in
// use.
const temporaryPrefix, temporarySuffix = ".headroom-", ".part"

func temporaryName() string { return temporaryPrefix + rand.Text() + temporarySuffix }

// openNamed opens a temporary file on file systems that do not support files without a
// name, such as NFS and FAT.
func (p *Pending) openNamed() error {
	p.dir.sweep()
	name := temporaryName()
	f, err := p.dir.Open(name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY)
	if err != nil {
		return err
	}
	_ = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) // without locks, sweep removes nothing
	p.File, p.temporary = f, name
	return nil
}

// sweep removes temporary files of killed processes. On errors it leaves them in place.
func (d *Dir) sweep() {
	names, _ := d.Names()
	for _, name := range names {
		if !strings.HasPrefix(name, temporaryPrefix) || !strings.HasSuffix(name, temporarySuffix) {
			continue
		}
		f, err := d.Open(name, unix.O_RDWR)
		if err != nil {
			continue
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			_ = d.Remove(name)
		}
		_ = f.Close()
	}
}

// Keep gives the file its name and replaces the regular file that has it.
func (p *Pending) Keep() error {
	err := p.keep()
	if err != nil {
		p.Discard()
		return err
	}
	_ = p.dir.Close() // the file is already synced and in place
	return nil
}

func (p *Pending) keep() error {
	now, err := p.target()
	if err != nil {
		return err
	}
	if err := p.inherit(now); err != nil {
		return err
	}
	if err := p.Sync(); err != nil {
		return err
	}
	if p.temporary == "" {
		if done, err := p.link(now != nil); done || err != nil {
			return errors.Join(err, p.File.Close())
		}
	}
	if err := p.dir.Rename(p.temporary, p.name); err != nil {
		return err
	}
	p.temporary = ""
	return p.File.Close()
}

// inherit sets the mode and owner of the replaced file, without write permission for
// other users.
func (p *Pending) inherit(old *unix.Statx_t) error {
	if old == nil {
		return nil
	}
	_ = p.Chown(int(old.Uid), int(old.Gid)) // only root can change the owner; otherwise it stays this user
	return p.Chmod(fs.FileMode(old.Mode) & 0o644)
}

// link gives a file without a name its final name, or, if that is taken, a temporary
// name to be renamed.
func (p *Pending) link(taken bool) (done bool, err error) {
	self := "/proc/self/fd/" + strconv.Itoa(int(p.Fd()))
	at := int(p.dir.f.Fd())
	if !taken {
		err := unix.Linkat(unix.AT_FDCWD, self, at, p.name, unix.AT_SYMLINK_FOLLOW)
		if err != nil {
			err = &os.LinkError{Op: "link", Old: self, New: p.path, Err: err}
		}
		return err == nil, err
	}
	name := temporaryName()
	if err := unix.Linkat(unix.AT_FDCWD, self, at, name, unix.AT_SYMLINK_FOLLOW); err != nil {
		return false, &os.LinkError{Op: "link", Old: self, New: p.dir.path(name), Err: err}
	}
	p.temporary = name
	return false, nil
}

// Discard removes what was written. It ignores errors: the caller already has a reason
// not to keep the file.
func (p *Pending) Discard() {
	_ = p.File.Close()
	if p.temporary != "" {
		_ = p.dir.Remove(p.temporary)
	}
	_ = p.dir.Close()
}
