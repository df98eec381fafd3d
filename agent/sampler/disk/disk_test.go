// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

// A tree has the /proc and /sys of a host, with a disk sda with two partitions, dm-0 on
// the second partition, loop0 on an unknown file, and an unused loop1.
type tree struct{ proc, sys string }

func newTree(t *testing.T, diskstats string) tree {
	t.Helper()
	dir := t.TempDir()
	tr := tree{filepath.Join(dir, "proc"), filepath.Join(dir, "sys")}
	tr.write(t, "proc/diskstats", diskstats)
	tr.write(t, "sys/devices/pci/block/sda/queue/rotational", "1\n")
	tr.write(t, "sys/devices/pci/block/sda/sda2/partition", "2\n")
	tr.write(t, "sys/devices/virtual/block/dm-0/queue/rotational", "x\n")
	tr.link(t, "sys/devices/pci/block/sda/sda2", "sys/devices/virtual/block/dm-0/slaves/sda2")
	tr.write(t, "sys/devices/virtual/block/loop0/loop/backing_file", "/no/such/file\n")
	tr.write(t, "sys/devices/virtual/block/loop0/slaves/.keep", "")
	os.Remove(filepath.Join(dir, "sys/devices/virtual/block/loop0/slaves/.keep"))
	tr.write(t, "sys/devices/virtual/block/cciss!c0d0/queue/rotational", "0\n")
	for _, d := range []string{"pci/block/sda", "virtual/block/dm-0", "virtual/block/loop0", "virtual/block/cciss!c0d0"} {
		tr.link(t, "sys/devices/"+d, "sys/block/"+filepath.Base(d))
	}
	return tr
}

func (tr tree) path(name string) string { return filepath.Join(filepath.Dir(tr.proc), name) }

func (tr tree) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(tr.path(name)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(tr.path(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (tr tree) link(t *testing.T, to, at string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(tr.path(at)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(tr.path(to), tr.path(at)); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, h *sampler.Host) *observe.Snapshot {
	t.Helper()
	r, err := Sampler.Open(h)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s := observe.NewSnapshot(h.Index)
	if err := r.Read(s); err != nil {
		t.Fatal(err)
	}
	return s
}

func (tr tree) read(t *testing.T) (*observe.Snapshot, *observe.Index) {
	t.Helper()
	h := &sampler.Host{Proc: tr.proc, Sys: tr.sys, Index: observe.NewIndex(10_000)}
	return read(t, h), h.Index
}

func disks(s *observe.Snapshot, x *observe.Index) []string {
	var names []string
	for id := range s.Values(catalog.DiskReads) {
		names = append(names, x.Entity(id).ID)
	}
	slices.Sort(names)
	return names
}

const someDisks = `   8       0 sda 10 1 800 40 20 2 1600 60 3 70 100 0 0 0 0 0 0
   8       2 sda2 9 1 700 30 20 2 1600 60 0 70 90
 253       0 dm-0 9 0 700 30 20 0 1600 60 0 70 90
   7       0 loop0 1 0 8 0 0 0 0 0 0 0 0
   7       1 loop1 0 0 0 0 0 0 0 0 0 0 0
 104       0 cciss/c0d0 5 0 8 0 0 0 0 0 0 0 0
`

func TestWholeDisks(t *testing.T) {
	s, x := newTree(t, someDisks).read(t)
	want := []string{"cciss/c0d0", "dm-0", "loop0", "sda"}
	if got := disks(s, x); !slices.Equal(got, want) {
		t.Errorf("disks = %v, want %v: no partition, no unused device", got, want)
	}
	sda, _ := x.Find(observe.Entity{Kind: observe.Disk, ID: "sda"})
	for m, want := range map[*observe.Metric]float64{
		catalog.DiskReads: 10, catalog.DiskRead: 800 * 512, catalog.DiskReadTime: 0.04, catalog.DiskWrites: 20, catalog.DiskWritten: 1600 * 512,
		catalog.DiskWriteTime: 0.06, catalog.DiskInFlight: 3, catalog.DiskBusy: 0.07, catalog.DiskQueueTime: 0.1, catalog.DiskRotational: 1,
	} {
		if got, ok := s.Value(m, sda); !ok || got != want {
			t.Errorf("%s = %v %v, want %v", m.Key(), got, ok, want)
		}
	}
}

func TestStacked(t *testing.T) {
	s, x := newTree(t, someDisks).read(t)
	for id := range s.Values(catalog.DiskReads) {
		name := x.Entity(id).ID
		want := map[string]string{"dm-0": "sda"}[name]
		if got := x.Attr(id, catalog.AttrOn); got != want {
			t.Errorf("%s stands on %q, want %q", name, got, want)
		}
		if x.Attr(id, catalog.AttrDevice) != name {
			t.Errorf("%s has no device", name)
		}
	}
	dm, _ := x.Find(observe.Entity{Kind: observe.Disk, ID: "dm-0"})
	if v, ok := s.Value(catalog.DiskRotational, dm); ok {
		t.Errorf("rotational of dm-0 = %v, want not known", v)
	}
}

func TestOddLines(t *testing.T) {
	s, x := newTree(t, "8 0 sda 1 2 3\n\n x\n8 0 sda 1 0 18446744073709551616 0 0 0 0 0 0 0 0\n8 0 sda 1 0 8 -1 0 0 0 0 0 0 0\n8 0 sda 7 0 18446744073709551615 0 0 0 0 0 0 0 1").read(t)
	if got := disks(s, x); len(got) > 0 {
		t.Errorf("disks = %v, want none: too few fields, above 2^64, negative, cut short", got)
	}
}

func TestManyDisks(t *testing.T) {
	tr := newTree(t, "")
	var text strings.Builder
	for i := range maxDisks + 2 {
		name := fmt.Sprintf("sd%d", i)
		fmt.Fprintf(&text, "8 0 %s 1 0 8 0 0 0 0 0 0 0 0\n", name)
		if err := os.Mkdir(tr.path("sys/block/"+name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	tr.write(t, "proc/diskstats", text.String())
	s, x := tr.read(t)
	if n := len(disks(s, x)); n != maxDisks || len(s.Gaps) != 1 {
		t.Errorf("%d disks, gaps %v, want %d and a gap", n, s.Gaps, maxDisks)
	}
}

// TestNoDisks checks that a host without disks is not an error.
func TestNoDisks(t *testing.T) {
	if s, x := newTree(t, "").read(t); len(disks(s, x)) > 0 || len(s.Gaps) > 0 {
		t.Errorf("disks %v, gaps %v, want neither", disks(s, x), s.Gaps)
	}
}

func TestNoDiskstats(t *testing.T) {
	h := &sampler.Host{Proc: t.TempDir(), Sys: t.TempDir(), Index: observe.NewIndex(10)}
	if _, err := Sampler.Open(h); !errors.Is(err, sampler.ErrNotSupported) {
		t.Errorf("error = %v, want that it is not supported", err)
	}
}

func TestThisHost(t *testing.T) {
	if _, err := os.Stat("/proc/diskstats"); err != nil {
		t.Skip(err)
	}
	h := &sampler.Host{Proc: "/proc", Sys: "/sys", Index: observe.NewIndex(10_000)}
	s := read(t, h)
	t.Log(disks(s, h.Index))
	for id, ops := range s.Values(catalog.DiskReads) {
		if writes, _ := s.Value(catalog.DiskWrites, id); ops+writes == 0 {
			t.Errorf("%s did nothing and is listed", h.Index.Entity(id).ID)
		}
	}
}

func FuzzParse(f *testing.F) {
	text, err := os.ReadFile("testdata/proc/diskstats")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(someDisks))
	f.Fuzz(func(t *testing.T, b []byte) {
		parse(b, func(st stats) {
			for _, v := range []float64{st.reads, st.readTime, st.writtenSectors, st.queueTime} {
				if v < 0 || v > 1<<64 {
					t.Errorf("%q gave %+v", b, st)
				}
			}
		})
	})
}

func BenchmarkRead(b *testing.B) {
	h := &sampler.Host{Proc: "/proc", Sys: "/sys", Index: observe.NewIndex(10_000)}
	r, err := Sampler.Open(h)
	if err != nil {
		b.Skip(err)
	}
	s := observe.NewSnapshot(h.Index)
	b.ReportAllocs()
	for b.Loop() {
		s.Reset()
		if err := r.Read(s); err != nil {
			b.Fatal(err)
		}
	}
}
