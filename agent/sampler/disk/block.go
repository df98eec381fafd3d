// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/patience"
)

// look looks up a name of diskstats in /sys/block and caches the result: nil for a
// partition, which is below its disk there.
func (r *reader) look(device string) *disk {
	folder := filepath.Join(r.sys, "block", fileName(device))
	if !isFolder(folder) {
		r.disks[device] = nil
		return nil
	}
	if r.followed == maxDisks {
		r.full++
		return nil
	}
	r.followed++
	d := &disk{id: r.index.ID(observe.Entity{Kind: observe.Disk, ID: device})}
	d.rotational, d.spins = flag(filepath.Join(folder, "queue", "rotational"))
	attrs := map[string]string{catalog.AttrDevice: device}
	if on := r.under(folder); len(on) > 0 {
		attrs[catalog.AttrOn] = strings.Join(on, ",")
	}
	r.describe(d.id, attrs)
	r.disks[device] = d
	return d
}

// describe describes an entity only if its attributes changed: archives store each
// description.
func (r *reader) describe(id observe.ID, attrs map[string]string) {
	if r.index.Attr(id, catalog.AttrDevice) == attrs[catalog.AttrDevice] && r.index.Attr(id, catalog.AttrOn) == attrs[catalog.AttrOn] {
		return
	}
	r.index.Describe(id, observe.Info{Parent: r.index.Entity(r.node), Attrs: attrs})
}

// fileName returns the name of a device in /sys: cciss!c0d0 for cciss/c0d0.
func fileName(device string) string { return strings.ReplaceAll(device, "/", "!") }

func isFolder(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}

// flag reads a file that contains 0 or 1.
func flag(path string) (float64, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	switch strings.TrimSpace(string(text)) {
	case "0":
		return 0, true
	case "1":
		return 1, true
	}
	return 0, false
}

// maxUnder is the maximum number of disks reported below one device.
const maxUnder = 64

// under returns the whole disks below a device: its slaves, or the disk that holds
// the file of a loop device. It returns none for a disk, and if they are not known.
func (r *reader) under(folder string) []string {
	entries, err := os.ReadDir(filepath.Join(folder, "slaves"))
	if err != nil {
		return nil
	}
	var on []string
	for _, e := range entries[:min(len(entries), maxUnder)] {
		on = append(on, r.whole(filepath.Join(folder, "slaves", e.Name())))
	}
	if backing, err := os.ReadFile(filepath.Join(folder, "loop", "backing_file")); err == nil {
		on = append(on, r.holds(strings.TrimSuffix(string(backing), "\n")))
	}
	slices.Sort(on)
	return slices.DeleteFunc(slices.Compact(on), func(s string) bool { return s == "" })
}

// holds returns the disk that a file is on, if it is on one and visible here. It
// does not access the file, which can be on a file system that hangs.
func (r *reader) holds(file string) string {
	on := patience.Device(r.proc, file)
	if on == 0 {
		return ""
	}
	dev := fmt.Sprintf("%d:%d", unix.Major(on), unix.Minor(on))
	return r.whole(filepath.Join(r.sys, "dev", "block", dev))
}

// whole returns the disk that a link into /sys/devices points to: its last folder,
// or the folder above for a partition.
//
//	../../devices/pci0000:00/0000:00:04.0/virtio1/block/vda/vda1
func (r *reader) whole(link string) string {
	target, err := filepath.EvalSymlinks(link)
	if err != nil {
		return ""
	}
	if _, err := os.Stat(filepath.Join(target, "partition")); err == nil {
		target = filepath.Dir(target)
	}
	return strings.ReplaceAll(filepath.Base(target), "!", "/")
}
