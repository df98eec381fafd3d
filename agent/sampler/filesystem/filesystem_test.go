// SPDX-License-Identifier: Apache-2.0

package filesystem

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/patience"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

type interner struct {
	sampler.Identity
	index *observe.Index
}

func (i interner) Process(pid int, _ uint64) (observe.ID, bool) {
	return i.index.ID(observe.Entity{Kind: observe.Process, ID: fmt.Sprint(pid)}), true
}

func opened(tb testing.TB) (*reader, *observe.Index) {
	tb.Helper()
	x := observe.NewIndex(observe.DefaultLimit)
	h := &sampler.Host{Proc: "/proc", Index: x, Identity: interner{index: x}, Patience: patience.New("/proc")}
	r, err := Sampler.Open(h)
	if errors.Is(err, sampler.ErrNotSupported) {
		tb.Skip(err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return r.(*reader), x
}

// read makes a reading that reads everything.
func read(tb testing.TB, r *reader, x *observe.Index) *observe.Snapshot {
	tb.Helper()
	r.mounts, r.next = time.Time{}, time.Time{}
	for _, v := range r.volumes {
		v.reads = 0
	}
	s := observe.NewSnapshot(x)
	if err := r.Read(s); err != nil {
		tb.Fatal(err)
	}
	return s
}

// mounted mounts a tmpfs for the test, and a bind mount of it.
func mounted(t *testing.T, options string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounts a file system")
	}
	dir, bind := t.TempDir(), t.TempDir()
	outside.Must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, options))
	outside.Must(t, unix.Mount(dir, bind, "", unix.MS_BIND, ""))
	t.Cleanup(func() {
		for _, d := range []string{bind, dir} {
			if err := unix.Unmount(d, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		}
	})
	return dir
}

func at(x *observe.Index, s *observe.Snapshot, m *observe.Metric, point string) (values []float64, id observe.ID) {
	id = observe.None
	for i := range observe.ID(x.Len()) {
		if x.Entity(i).Kind == m.About && x.Attr(i, catalog.AttrMountpoint) == point {
			if v, ok := s.Value(m, i); ok {
				values, id = append(values, v), i
			}
		}
	}
	return values, id
}

func one(t *testing.T, x *observe.Index, s *observe.Snapshot, m *observe.Metric, point string) float64 {
	t.Helper()
	values, _ := at(x, s, m, point)
	if len(values) != 1 {
		t.Fatalf("%s of %s = %v, want one value", m.Key(), point, values)
	}
	return values[0]
}

const mebibyte = 1 << 20

// fill writes a file and keeps it open.
func fill(t *testing.T, path string, size int) *os.File {
	t.Helper()
	f, err := os.Create(path)
	outside.Must(t, err)
	_, err = f.Write(make([]byte, size))
	outside.Must(t, err)
	t.Cleanup(func() { _ = f.Close() }) //nolint:errcheck // may be closed
	return f
}

func TestSpaceAndInodes(t *testing.T) {
	dir := mounted(t, "size=16m,nr_inodes=100")
	fill(t, filepath.Join(dir, "a"), 4*mebibyte)
	r, x := opened(t)
	s := read(t, r, x)
	for m, want := range map[*observe.Metric]float64{
		catalog.FilesystemUsed: 4 * mebibyte, catalog.FilesystemFree: 12 * mebibyte, catalog.FilesystemReserved: 0,
		catalog.FilesystemInodesUsed: 2, catalog.FilesystemInodesFree: 98,
	} {
		if got := one(t, x, s, m, dir); got != want {
			t.Errorf("%s = %v, want %v", m.Key(), got, want)
		}
	}
	if values, _ := at(x, s, catalog.FilesystemDeleted, dir); len(values) > 0 {
		t.Errorf("deleted files of a file system with room = %v, want that they are not read", values)
	}
}

// TestDeletedFiles checks that a deleted file is attributed to its holder on a file system
// that is almost full, and that its space is gone when it is closed.
func TestDeletedFiles(t *testing.T) {
	dir := mounted(t, "size=16m")
	deleted := fill(t, filepath.Join(dir, "old.log"), 10*mebibyte)
	outside.Must(t, os.Remove(deleted.Name()))
	fill(t, filepath.Join(dir, "new.log"), 4*mebibyte)
	r, x := opened(t)
	s := read(t, r, x)
	for m, want := range map[*observe.Metric]float64{
		catalog.FilesystemDeleted: 10 * mebibyte, catalog.OpenFilesDeleted: 10 * mebibyte, catalog.OpenFilesSize: 14 * mebibyte,
	} {
		if got := one(t, x, s, m, dir); got != want {
			t.Errorf("%s = %v, want %v", m.Key(), got, want)
		}
	}
	_, id := at(x, s, catalog.OpenFilesSize, dir)
	if parent, path := x.Info(id).Parent, x.Attr(id, catalog.AttrFile); parent.ID != fmt.Sprint(os.Getpid()) || path != deleted.Name() {
		t.Errorf("held by %s as %s, want process %d as %s", parent.ID, path, os.Getpid(), deleted.Name())
	}
	outside.Must(t, deleted.Close())
	s = read(t, r, x)
	if got := one(t, x, s, catalog.FilesystemUsed, dir); got != 4*mebibyte {
		t.Errorf("used = %v after the file was closed, want 4 MiB", got)
	}
	if got := one(t, x, s, catalog.OpenFilesDeleted, dir); got != 0 {
		t.Errorf("deleted = %v after the file was closed, want 0", got)
	}
}

// TestFillingIsWatched checks that a file system that fills quickly is watched before it is
// almost full.
func TestFillingIsWatched(t *testing.T) {
	start := time.Now()
	v := &volume{}
	for i, c := range []struct {
		used float64
		want bool
	}{{100, false}, {100, false}, {150, true}, {150, true}} { // of 1000, a second apart
		v.watch(usage{used: c.used, free: 1000 - c.used}, start.Add(time.Duration(i)*time.Second))
		if v.watched != c.want {
			t.Errorf("reading %d: watched = %v, want %v", i, v.watched, c.want)
		}
	}
	if v.watch(usage{used: 150, free: 850}, start.Add(2*watchFor)); v.watched {
		t.Error("it is still watched long after it grew")
	}
}

func TestOnceAndLocal(t *testing.T) {
	r, x := opened(t)
	s := read(t, r, x)
	root, _ := at(x, s, catalog.FilesystemUsed, "/")
	if len(root) > 1 {
		t.Errorf("the root file system is reported %d times", len(root))
	}
	for id := range observe.ID(x.Len()) {
		if kind := x.Attr(id, catalog.AttrFilesystem); x.Entity(id).Kind == observe.Filesystem && (kind == "proc" || kind == "overlay" || kind == "squashfs") {
			t.Errorf("%s is reported", kind)
		}
	}
}

func TestReservedBlocks(t *testing.T) {
	u := usageOf(&unix.Statfs_t{Bsize: 4096, Frsize: 4096, Blocks: 1000, Bfree: 100, Bavail: 50, Files: 10, Ffree: 4})
	if u.used != 900*4096 || u.free != 50*4096 || u.reserved != 50*4096 || u.inodesUsed != 6 || u.inodesFree != 4 {
		t.Errorf("usage = %+v", u)
	}
	if u := usageOf(&unix.Statfs_t{Bsize: 4096, Blocks: 1000, Bfree: 100, Bavail: 100}); u.inodes {
		t.Error("a file system without a fixed number of inodes has one")
	}
}

func TestOverlayIsOnTheFileSystemBelow(t *testing.T) {
	mounts := []*procfs.MountInfo{
		{MajorMinorVer: "8:1", MountPoint: "/", FSType: "ext4"},
		{MajorMinorVer: "8:2", MountPoint: "/var/lib/docker", FSType: "ext4"},
		{MajorMinorVer: "0:50", MountPoint: "/var/lib/docker/overlay2/x/merged", FSType: "overlay", SuperOptions: map[string]string{"upperdir": "/var/lib/docker/overlay2/x/diff"}},
	}
	if got, ok := holds(mounts, mounts[2].SuperOptions["upperdir"]); !ok || got != unix.Mkdev(8, 2) {
		t.Errorf("the overlay is on %d:%d, want 8:2", unix.Major(got), unix.Minor(got))
	}
}

// BenchmarkRead measures a reading without open files, BenchmarkSurvey a pass over them.
func BenchmarkRead(b *testing.B) {
	r, x := opened(b)
	s := observe.NewSnapshot(x)
	for b.Loop() {
		s.Reset()
		r.next = time.Now().Add(time.Hour)
		if err := r.Read(s); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(r.volumes)), "filesystems")
}

func BenchmarkSurvey(b *testing.B) {
	r, x := opened(b)
	s := read(b, r, x)
	for _, v := range r.volumes {
		v.watched = true
	}
	for b.Loop() {
		s.Reset()
		if err := r.walk(s); err != nil {
			b.Fatal(err)
		}
	}
}
