// SPDX-License-Identifier: Apache-2.0

package files

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sharedDir returns a directory like a Kubernetes emptyDir.
func sharedDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestSharedDirectory checks that OpenOwn opens a directory of its own in a directory
// that all users can write to, the same one each time.
func TestSharedDirectory(t *testing.T) {
	dir := sharedDir(t)
	for range 2 {
		d, err := OpenOwn(dir)
		if err != nil {
			t.Fatal(err)
		}
		f, err := d.Open("history", os.O_CREATE|os.O_RDWR)
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		_ = d.Close()
	}
	info, err := os.Stat(filepath.Join(dir, ownName))
	if err != nil || info.Mode() != os.ModeDir|0o700 {
		t.Errorf("the directory is %v %v, want mode 0700", info, err)
	}
	if _, err := os.Stat(filepath.Join(dir, ownName, "history")); err != nil {
		t.Error(err)
	}
}

// TestSharedDirectoryRefused checks that what another user can have created there is
// refused.
func TestSharedDirectoryRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		put  func(own string) error
		want string
	}{
		"a link": {func(own string) error { return os.Symlink(t.TempDir(), own) }, "not a directory; remove it"},
		"a file": {func(own string) error { return os.WriteFile(own, nil, 0o600) }, "not a directory; remove it"},
		"writable by all": {func(own string) error {
			return errors.Join(os.Mkdir(own, 0o700), os.Chmod(own, 0o777))
		}, "can be written to by every user"},
		"another user's": {func(own string) error {
			return errors.Join(os.Mkdir(own, 0o700), os.Chown(own, 65534, 65534))
		}, "65534"},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "another user's" && os.Geteuid() != 0 {
				t.Skip("needs root to give a directory away")
			}
			dir := sharedDir(t)
			if err := tt.put(filepath.Join(dir, ownName)); err != nil {
				t.Fatal(err)
			}
			_, err := OpenOwn(dir)
			if !errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want one with %q", err, tt.want)
			}
		})
	}
}

// TestBelowSharedDirectory checks that a path through a directory that all users can
// write to is refused, because they can redirect it.
func TestBelowSharedDirectory(t *testing.T) {
	dir := filepath.Join(sharedDir(t), "below")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenOwn(dir); !errors.Is(err, ErrUnsafe) {
		t.Errorf("error = %v, want that the path is not safe", err)
	}
}
