// SPDX-License-Identifier: Apache-2.0

package refusal

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// fileSystems are those of the kernel that headroom reads, and where they belong.
var fileSystems = []struct {
	kind, root string
	magic      int64
}{
	{"sysfs", "/sys", unix.SYSFS_MAGIC},
	{"proc", "/proc", unix.PROC_SUPER_MAGIC},
}

// Hidden explains why a file below /sys or /proc is not there, where the reason is a
// mount: the file system of the kernel is not mounted, or another one is mounted
// over a directory on the way to the file. It is nil where the kernel has no such
// file, and for other paths.
func Hidden(path string) *Refusal {
	for _, f := range fileSystems {
		if !strings.HasPrefix(path, f.root+"/") {
			continue
		}
		switch dir := hiddenBy(path, f.root, f.magic); dir {
		case "":
			if f.root == "/proc" && onlyProcesses(path) {
				return &Refusal{
					Reason: "/proc shows processes and nothing else (mount option subset=pid)",
					Fix:    "mount it without that option: ProcSubset=all in a systemd unit, or mount -t proc proc /proc",
				}
			}
		case f.root:
			return &Refusal{
				Reason: fmt.Sprintf("%s is not the kernel's: no %s is mounted there", f.root, f.kind),
				Fix:    fmt.Sprintf("mount -t %s %s %s; in a container docker run -v %s:%s:ro, or a hostPath volume of the pod", f.kind, f.kind, f.root, f.root, f.root),
			}
		default:
			return &Refusal{
				Reason: dir + " is not the kernel's: another file system is mounted over it",
				Fix:    fmt.Sprintf("umount %s; in a container remove the volume or the masked path there", dir),
			}
		}
	}
	return nil
}

// onlyProcesses reports whether path is a file of /proc that is not of a process, and
// none of those is there.
func onlyProcesses(path string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/proc/"), "/")
	if strings.Trim(first, "0123456789") == "" || first == "self" || first == "thread-self" {
		return false
	}
	var st unix.Stat_t
	return errors.Is(unix.Stat("/proc/stat", &st), unix.ENOENT) && unix.Stat("/proc/self/stat", &st) == nil
}

// hiddenBy returns the first directory on the way from root to path that is not on
// a file system with the number magic, "" where all that exist are.
func hiddenBy(path, root string, magic int64) string {
	var st unix.Statfs_t
	dir := root
	for _, name := range append([]string{""}, strings.Split(path[len(root)+1:], "/")...) {
		dir = filepath.Join(dir, name)
		if unix.Statfs(dir, &st) != nil {
			return ""
		}
		if int64(st.Type) != magic { //nolint:unconvert // 32 bits wide on some platforms
			return dir
		}
	}
	return ""
}
