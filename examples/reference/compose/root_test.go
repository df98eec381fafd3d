// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
)

// A root is the file system of a container: the files of an image, and the host's /usr
// in place of its base image. Mounts are in the mount namespace of the script, and end
// with it.
type root struct {
	dir    string
	mounts []string
}

// root makes a root, and mounts each file of the image in it.
func (i *image) root(dir string) (*root, error) {
	r := &root{dir: dir}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := r.bind(i.Files, "/", false); err != nil {
		return nil, err
	}
	for _, name := range []string{"proc", "dev", "tmp", "sys"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return nil, err
		}
	}
	err := errors.Join(r.bind("/proc", "/proc", false), r.bind("/dev", "/dev", false), r.bind("/sys", "/sys", false),
		r.mount("tmpfs", "/tmp", "tmpfs", 0, "mode=1777"))
	if !i.base {
		return r, err
	}
	for _, name := range []string{"bin", "lib", "lib64", "sbin"} {
		link := filepath.Join(dir, name)
		if err := os.Symlink("usr/"+name, link); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, err
		}
	}
	return r, errors.Join(err, r.bind("/usr", "/usr", true), r.bind("/etc", "/etc", true))
}

// bind mounts a file or folder of the host.
func (r *root) bind(source, target string, readOnly bool) error {
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	to := filepath.Join(r.dir, target)
	if info.IsDir() {
		err = os.MkdirAll(to, 0o755)
	} else if err = os.MkdirAll(filepath.Dir(to), 0o755); err == nil {
		var f *os.File
		if f, err = os.OpenFile(to, os.O_CREATE|os.O_RDONLY, 0o644); err == nil {
			err = f.Close()
		}
	}
	// A read-only folder may already contain the mount point.
	if err != nil && !errors.Is(err, syscall.EROFS) {
		return err
	}
	if err := r.mount(source, target, "", syscall.MS_BIND|syscall.MS_REC, ""); err != nil {
		return err
	}
	if readOnly {
		return syscall.Mount("", to, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, "")
	}
	return nil
}

func (r *root) mount(source, target, kind string, flags uintptr, data string) error {
	to := filepath.Join(r.dir, target)
	if err := syscall.Mount(source, to, kind, flags, data); err != nil {
		return fmt.Errorf("mount %s on %s: %w", source, to, err)
	}
	r.mounts = append(r.mounts, to)
	return nil
}

// readOnly makes the root read-only except for mounts, as read_only in compose does.
func (r *root) readOnly() error {
	return syscall.Mount("", r.dir, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, "")
}

func (r *root) unmount() {
	for _, to := range slices.Backward(r.mounts) {
		syscall.Unmount(to, syscall.MNT_DETACH) //nolint:errcheck // it ends with the namespace
	}
	r.mounts = nil
}

// command returns a command that runs a program in the root, looked up there in PATH.
func (r *root) command(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command("/usr/bin/env", args...)
	if filepath.IsAbs(args[0]) {
		cmd = exec.Command(args[0], args[1:]...)
	}
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: r.dir}
	return cmd
}
