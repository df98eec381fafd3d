// SPDX-License-Identifier: Apache-2.0

package files

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Read returns the content of a file of at most limit bytes, such as a config or a
// certificate. It refuses anything other than a regular file: a FIFO would wait for a
// writer, a device has no end. It follows links, because Kubernetes mounts configs as
// links.
func Read(path string, limit int64) ([]byte, error) {
	if err := Regular(path); err != nil {
		return nil, err
	}
	// The file may have been replaced: O_NONBLOCK opens a FIFO without waiting.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, notRegular(path, st.Mode())
	}
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > limit {
		return nil, fmt.Errorf("%s is larger than %d KiB", path, limit>>10)
	}
	return text, nil
}

// Regular returns an error unless path is a regular file, or a link to one.
func Regular(path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return notRegular(path, st.Mode())
	}
	return nil
}

func notRegular(path string, mode os.FileMode) error {
	if mode.IsDir() {
		return fmt.Errorf("%s is a directory: name a file in it", path)
	}
	return fmt.Errorf("%s is not a regular file (%s)", path, mode.Type())
}

// Changeable returns an error if other users can change a file that determines what
// this process does.
func Changeable(path string) error {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	switch {
	case !trusted(st.Uid):
		return fmt.Errorf("it belongs to %s", owner(st.Uid))
	case st.Mode&0o002 != 0:
		return errors.New("every user can write to it")
	}
	return nil
}
