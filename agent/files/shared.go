// SPDX-License-Identifier: Apache-2.0

package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// ownName is the name of the directory that is created in a directory that other users
// can write to.
const ownName = "headroom"

// openInShared opens ownName in the directory at path, and creates it if it is missing.
// Other users can write to the directory at path, and can redirect no other step of the
// path. They can still rename or replace ownName: the open directory stays the same,
// and a replacement that they own is refused the next time.
func openInShared(path string) (*os.File, error) {
	var shared error
	dir, err := walk(path, func(step string, st *unix.Stat_t) error {
		if shared != nil {
			return shared // a step below could be redirected
		}
		err := private(step, st)
		if err != nil && trusted(st.Uid) && st.Mode&unix.S_IFMT == unix.S_IFDIR && st.Mode&0o002 != 0 {
			shared, err = err, nil
		}
		return err
	})
	if err != nil && shared != nil {
		return nil, shared
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close() //nolint:errcheck // read only
	own := path + "/" + ownName
	if err := unix.Mkdirat(int(dir.Fd()), ownName, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, &fs.PathError{Op: "mkdir", Path: own, Err: err}
	}
	fd, err := unix.Openat(int(dir.Fd()), ownName, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%w: %s is not a directory; remove it", ErrUnsafe, own)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: own, Err: err}
	}
	f := os.NewFile(uintptr(fd), own)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		_ = f.Close()
		return nil, &fs.PathError{Op: "stat", Path: own, Err: err}
	}
	if !trusted(st.Uid) {
		_ = f.Close()
		return nil, fmt.Errorf("%w: %s belongs to %s; remove it", ErrUnsafe, own, owner(st.Uid))
	}
	if err := private(own, &st); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}
