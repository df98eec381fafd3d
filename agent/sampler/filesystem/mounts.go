// SPDX-License-Identifier: Apache-2.0

package filesystem

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/patience"
)

// A volume is a file system that can fill up.
type volume struct {
	id           observe.ID
	device       uint64
	point, kind  string
	reads        int
	last         usage
	at           time.Time
	watched      bool      // almost full, or filling
	until        time.Time // it stays so
	deletedShown bool
}

// usage is what statfs returns, in bytes and inodes.
type usage struct {
	used, free, reserved   float64
	inodesUsed, inodesFree float64
	inodes                 bool // their number is limited
}

// local are the types of file systems that are on this host and can be written to. Others
// are virtual, images that are full by design (squashfs, iso9660, erofs), or wait for a
// server. The space of an overlay is that of the file system below it.
var local = []string{"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "bcachefs", "jfs", "reiserfs", "nilfs2", "vfat", "exfat", "ntfs3", "tmpfs", "zfs", "ubifs"}

// find reads the mounts and keeps the file systems, each once: at the mount of its root
// directory with the shortest path, not at bind mounts.
func (r *reader) find(s *observe.Snapshot) error {
	mounts, err := r.fs.GetProcMounts(r.pid)
	if err != nil {
		return err
	}
	nearest := make(map[uint64]*procfs.MountInfo)
	for _, m := range mounts {
		device, ok := deviceOf(m)
		if !ok || !slices.Contains(local, m.FSType) || readOnly(m) {
			continue
		}
		if known := nearest[device]; known == nil || nearer(m, known) {
			nearest[device] = m
		}
	}
	before := r.byDevice
	r.volumes, r.byDevice, r.full = r.volumes[:0], make(map[uint64]*volume), 0
	r.unread = make(map[*volume]bool)
	for device, m := range nearest {
		if len(r.volumes) == maxFilesystems {
			r.full++
			continue
		}
		v := before[device]
		if v == nil || v.device != device || v.point != unescape.Replace(m.MountPoint) || v.kind != m.FSType {
			v = r.describe(device, m)
		}
		r.volumes = append(r.volumes, v)
		r.byDevice[device] = v
	}
	slices.SortFunc(r.volumes, func(a, b *volume) int { return cmp.Compare(a.device, b.device) })
	for device, v := range before {
		if v.device == device && r.byDevice[device] == nil {
			s.End(v.id, "unmounted")
		}
	}
	r.resolveOverlays(mounts)
	return nil
}

// nearer reports whether a mount shows more of its file system than another, or shows it
// at a shorter path.
func nearer(m, other *procfs.MountInfo) bool {
	return cmp.Or(cmp.Compare(len(m.Root), len(other.Root)), cmp.Compare(len(m.MountPoint), len(other.MountPoint))) < 0
}

func readOnly(m *procfs.MountInfo) bool {
	_, ro := m.SuperOptions["ro"]
	return ro
}

func deviceOf(m *procfs.MountInfo) (uint64, bool) {
	var major, minor uint32
	_, err := fmt.Sscanf(m.MajorMinorVer, "%d:%d", &major, &minor)
	return unix.Mkdev(major, minor), err == nil
}

func (r *reader) describe(device uint64, m *procfs.MountInfo) *volume {
	v := &volume{device: device, point: unescape.Replace(m.MountPoint), kind: m.FSType}
	v.id = r.index.ID(observe.Entity{Kind: observe.Filesystem, ID: m.MajorMinorVer})
	r.index.Describe(v.id, observe.Info{Parent: r.index.Entity(r.node), Attrs: map[string]string{
		catalog.AttrMountpoint: v.point, catalog.AttrFilesystem: m.FSType, catalog.AttrDevice: unescape.Replace(m.Source),
	}})
	return v
}

// unescape decodes the characters that mountinfo escapes because they separate its fields
// (mangle_path in fs/seq_file.c).
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// resolveOverlays maps the devices of overlays, as containers have them, to the file system
// of their upper directory.
func (r *reader) resolveOverlays(mounts []*procfs.MountInfo) {
	for _, m := range mounts {
		if m.FSType != "overlay" {
			continue
		}
		device, ok := deviceOf(m)
		below, found := holds(mounts, m.SuperOptions["upperdir"])
		if ok && found && r.byDevice[below] != nil {
			r.byDevice[device] = r.byDevice[below]
		}
	}
}

// holds returns the device of the file system that a directory is on, without access to it.
func holds(mounts []*procfs.MountInfo, dir string) (device uint64, ok bool) {
	longest := ""
	for _, m := range mounts {
		at := strings.TrimSuffix(m.MountPoint, "/") + "/"
		// Of two mounts at one place the later one is on top.
		if dir != "" && strings.HasPrefix(dir, at) && len(at) >= len(longest) {
			if d, known := deviceOf(m); known {
				longest, device, ok = at, d, true
			}
		}
	}
	return device, ok
}

// read writes the usage of a file system. The path to it can lead over another file system
// that hangs.
func (r *reader) read(s *observe.Snapshot, v *volume, now time.Time) {
	path := fmt.Sprintf("%s/%d/%s", r.proc, r.pid, patience.Root) + v.point
	c := patience.Call{Source: name, Lost: "the space of the file system at " + v.point, PID: r.pid, File: patience.Root + v.point}
	st, ok := patience.Ask(r.patience, c, func() *unix.Statfs_t {
		var st unix.Statfs_t
		if unix.Statfs(path, &st) != nil {
			return nil
		}
		return &st
	})
	v.reads++
	if ok && st == nil {
		r.unread[v] = true
	}
	if !ok || st == nil || st.Blocks == 0 { // a tmpfs without a limit has none
		return
	}
	delete(r.unread, v)
	u := usageOf(st)
	v.watch(u, now)
	u.write(s, v.id)
}

// usageOf returns the usage as df calculates it.
func usageOf(st *unix.Statfs_t) usage {
	block := float64(st.Bsize)
	if st.Frsize > 0 {
		block = float64(st.Frsize)
	}
	u := usage{
		used: float64(st.Blocks-st.Bfree) * block, free: float64(st.Bavail) * block,
		reserved: float64(st.Bfree-min(st.Bavail, st.Bfree)) * block,
	}
	if st.Files > 0 {
		u.inodes, u.inodesUsed, u.inodesFree = true, float64(st.Files-st.Ffree), float64(st.Ffree)
	}
	return u
}

func (u usage) write(s *observe.Snapshot, id observe.ID) {
	s.Set(catalog.FilesystemUsed, id, u.used)
	s.Set(catalog.FilesystemFree, id, u.free)
	s.Set(catalog.FilesystemReserved, id, u.reserved)
	if u.inodes {
		s.Set(catalog.FilesystemInodesUsed, id, u.inodesUsed)
		s.Set(catalog.FilesystemInodesFree, id, u.inodesFree)
	}
}

// watchFor is how long a file system that filled quickly stays watched: bursts have pauses.
const watchFor = time.Minute

// watch decides whether the file system is read at each reading, with its open files.
func (v *volume) watch(u usage, now time.Time) {
	full := func(used, free float64) bool { return used >= almostFull*(used+free) }
	fills := false
	if step := now.Sub(v.at); v.last != (usage{}) && step > 0 {
		fills = (u.used-v.last.used)*float64(soon/step) > u.free
	}
	if fills || full(u.used, u.free) || u.inodes && full(u.inodesUsed, u.inodesFree) {
		v.until = now.Add(watchFor)
	}
	v.watched = now.Before(v.until)
	v.last, v.at = u, now
}
