// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/internal/testutil/cgroups"
)

// interner is the part of an identity that this sampler uses.
type interner struct {
	sampler.Identity
	index *observe.Index
}

func (i interner) Cgroup(path string) observe.ID {
	return i.index.ID(observe.Entity{Kind: observe.Cgroup, ID: path})
}

func host(proc, cgroup string) *sampler.Host {
	x := observe.NewIndex(50_000)
	return &sampler.Host{Proc: proc, Cgroup: cgroup, Index: x, Identity: interner{index: x}}
}

func opened(tb testing.TB, h *sampler.Host) *reader {
	tb.Helper()
	r, err := Sampler.Open(h)
	if errors.Is(err, sampler.ErrNotSupported) {
		tb.Skip(err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := r.Close(); err != nil {
			tb.Error(err)
		}
	})
	return r.(*reader)
}

func snapshot(tb testing.TB, r *reader, h *sampler.Host) *observe.Snapshot {
	tb.Helper()
	s := observe.NewSnapshot(h.Index)
	if err := r.Read(s); err != nil {
		tb.Fatal(err)
	}
	return s
}

const (
	id   = "8f6a1c9c2d9c4a7bb8f2b8d3f0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3"
	pods = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0d39e4f2_6a0c_4d3a_9a52_6a6f7d4c1b11.slice"
)

func TestRecorded(t *testing.T) {
	for _, tt := range []struct {
		tree, path   string
		cores, usage float64
		weight       float64
		cpus         float64
		absent       []string
		present      []string
	}{
		{
			tree: "testdata/v2", path: pods + "/cri-containerd-" + id + ".scope", cores: 0.5, usage: 7.123456, weight: 0.2, cpus: 2,
			absent: []string{"/system.slice/empty.service"}, present: []string{"/", "/system.slice", "/system.slice/nginx.service", pods},
		},
		{
			tree: "testdata/hybrid", path: "/docker/" + id, cores: 20_000.0 / 100_000, usage: 7.123456789, weight: 0.5, cpus: 1,
			absent: []string{"/idle"}, present: []string{"/", "/docker"},
		},
	} {
		t.Run(tt.tree, func(t *testing.T) {
			h := host("testdata/none", tt.tree)
			s := snapshot(t, opened(t, h), h)
			group, ok := h.Index.Find(observe.Entity{Kind: observe.Cgroup, ID: tt.path})
			if !ok {
				t.Fatalf("%s was not found", tt.path)
			}
			for m, want := range map[*observe.Metric]float64{
				catalog.CgroupCPUTime: tt.usage, catalog.CgroupCPULimit: tt.cores, catalog.CgroupCPUPeriod: 0.1, catalog.CgroupCPUWeight: tt.weight,
				catalog.CgroupPeriods: 100, catalog.CgroupThrottled: 38, catalog.CgroupThrottledS: 0.7757, catalog.CgroupCPUSetCount: tt.cpus,
				catalog.CgroupCPUSome: 8.537362, catalog.CgroupMemorySome: 0.000113, catalog.CgroupMemoryFull: 0.000101,
				catalog.CgroupIOSome: 12.000001, catalog.CgroupIOFull: 11.5,
			} {
				if got, ok := s.Value(m, group); !ok || math.Abs(got-want) > 1e-9 {
					t.Errorf("%s = %v %v, want %v", m.Key(), got, ok, want)
				}
			}
			for _, p := range tt.absent {
				if _, ok := h.Index.Find(observe.Entity{Kind: observe.Cgroup, ID: p}); ok {
					t.Errorf("%s holds nothing and was reported", p)
				}
			}
			for _, p := range tt.present {
				id, ok := h.Index.Find(observe.Entity{Kind: observe.Cgroup, ID: p})
				if !ok {
					t.Errorf("%s was not reported", p)
				}
				if _, limited := s.Value(catalog.CgroupCPULimit, id); limited {
					t.Errorf("%s has a limit, want none", p)
				}
				if _, restricted := s.Value(catalog.CgroupCPUSetCount, id); restricted {
					t.Errorf("%s has a count of CPUs, want none: it may use all", p)
				}
			}
			if len(s.Gaps) != 0 {
				t.Errorf("gaps = %v, want none", s.Gaps)
			}
		})
	}
}

func TestNoPressureIsAGap(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/cpu/cpu.stat", "nr_periods 0\n")
	write(t, dir+"/cpuacct/cpuacct.usage", "1\n")
	h := host("testdata/none", dir)
	s := snapshot(t, opened(t, h), h)
	if len(s.Gaps) != 1 || !strings.Contains(s.Gaps[0].Cure, "unified") {
		t.Errorf("gaps = %v, want one that names cgroup v2", s.Gaps)
	}
}

func TestNoCgroups(t *testing.T) {
	_, err := Sampler.Open(host("testdata/none", t.TempDir()))
	if !errors.Is(err, sampler.ErrNotSupported) {
		t.Errorf("error = %v, want not supported", err)
	}
}

// TestHiddenTree checks a container that lists the mounts of the host and has an empty
// file system mounted over them.
func TestHiddenTree(t *testing.T) {
	proc, tree := t.TempDir(), t.TempDir()
	write(t, proc+"/self/mounts", "cgroup2 "+tree+" cgroup2 rw 0 0\n")
	write(t, proc+"/self/mountinfo", "30 23 0:26 / "+tree+" rw,relatime - cgroup2 cgroup2 rw\n")
	_, err := Sampler.Open(host(proc, tree))
	if !errors.Is(err, sampler.ErrNotSupported) || !strings.Contains(err.Error(), "mount the cgroup file system") {
		t.Errorf("error = %v, want that no tree is mounted", err)
	}
	write(t, tree+"/cgroup.procs", "")
	if r, err := Sampler.Open(host(proc, tree)); err != nil {
		t.Errorf("error = %v with the tree visible", err)
	} else if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func write(tb testing.TB, path, text string) {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
}

// TestComingAndGoing checks cgroups that are created and removed, with a reader over a
// tree of files whose clock the test sets.
func TestComingAndGoing(t *testing.T) {
	for _, budget := range []int{0, 100} {
		t.Run(fmt.Sprintf("%d descriptors", budget), func(t *testing.T) {
			dir := t.TempDir()
			group := func(p string) {
				write(t, dir+p+"/cpu.stat", "usage_usec 5\n")
				write(t, dir+p+"/cgroup.procs", "1\n")
			}
			write(t, dir+"/cgroup.controllers", "cpu\n")
			group("")
			group("/a")
			h := host("testdata/none", dir)
			r := opened(t, h)
			r.files.budget = budget
			now := time.Now()
			r.now = func() time.Time { return now }
			snapshot(t, r, h)
			a, _ := h.Index.Find(observe.Entity{Kind: observe.Cgroup, ID: "/a"})

			if err := os.RemoveAll(dir + "/a"); err != nil {
				t.Fatal(err)
			}
			group("/b")
			now = now.Add(2 * walkEvery)
			s := snapshot(t, r, h)
			if len(s.Ended) != 1 || s.Ended[0].ID != a {
				t.Errorf("ended = %v, want /a", s.Ended)
			}
			if _, ok := h.Index.Find(observe.Entity{Kind: observe.Cgroup, ID: "/b"}); !ok {
				t.Error("/b was not found")
			}
			if err := r.Close(); err != nil || r.files.budget != budget {
				t.Errorf("after Close %d descriptors may be kept, want %d (%v)", r.files.budget, budget, err)
			}
		})
	}
}

// TestTooDeep nests real directories deeper than is observed.
func TestTooDeep(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/cgroup.controllers", "cpu\n")
	write(t, dir+"/cpu.stat", "usage_usec 5\n")
	deep := strings.Repeat("/d", 200)
	write(t, dir+deep+"/cgroup.procs", "1\n")
	long := "/" + strings.Repeat("x", 200)
	write(t, dir+strings.Repeat(long, 18)+"/cgroup.procs", "1\n")
	h := host("testdata/none", dir)
	r := opened(t, h)
	s := snapshot(t, r, h)
	if r.groups[deep[:2*sampler.CgroupDepth]] == nil {
		t.Error("no group stands for what is nested deeper")
	}
	if r.groups[strings.Repeat(long, 18)] == nil {
		t.Error("a long path that the kernel can open was left out")
	}
	if len(r.groups) != 1+sampler.CgroupDepth+18 {
		t.Errorf("%d groups, want the root and those above the depth", len(r.groups))
	}
	var reasons []string
	for _, g := range s.Gaps {
		reasons = append(reasons, g.Reason)
	}
	all := strings.Join(reasons, "\n")
	if !strings.Contains(all, "nested deeper than 32 levels") || !strings.Contains(all, "1 found") || strings.Contains(all, "more than") {
		t.Errorf("gaps = %q, want one about the depth and none about the number", all)
	}
}

// TestTooLong creates a path that is too long for the kernel to open.
func TestTooLong(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/cgroup.controllers", "cpu\n")
	write(t, dir+"/cpu.stat", "usage_usec 5\n")
	name := strings.Repeat("x", 200)
	fd, err := unix.Open(dir, unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 25 {
		if err := unix.Mkdirat(fd, name, 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(fd, name, unix.O_DIRECTORY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_ = unix.Close(fd) //nolint:errcheck // opened for its children alone
		fd = next
	}
	_ = unix.Close(fd) //nolint:errcheck // opened for its children alone
	h := host("testdata/none", dir)
	s := snapshot(t, opened(t, h), h)
	found := false
	for _, g := range s.Gaps {
		found = found || strings.Contains(g.Reason, "a path longer than")
	}
	if !found {
		t.Errorf("gaps = %v, want one about the length of a path", s.Gaps)
	}
}

// TestEveryGroupIsReadSoon checks that every group is read soon, without any cached
// descriptor.
func TestEveryGroupIsReadSoon(t *testing.T) {
	h := host("testdata/none", "testdata/v2")
	r := opened(t, h)
	r.files.budget = 0
	group := func(s *observe.Snapshot, path string) bool {
		id, _ := h.Index.Find(observe.Entity{Kind: observe.Cgroup, ID: path})
		_, ok := s.Value(catalog.CgroupCPUTime, id)
		return ok
	}
	if s := snapshot(t, r, h); !group(s, "/system.slice/nginx.service") {
		t.Error("a group was not read in the first reading: its increase has no beginning")
	}
	seen := 0
	for range restEvery {
		s := snapshot(t, r, h)
		if !group(s, pods+"/cri-containerd-"+id+".scope") {
			t.Error("a group with a quota was not read in every reading")
		}
		if group(s, "/system.slice/nginx.service") {
			seen++
		}
	}
	if seen != 1 {
		t.Errorf("a group without a quota was read %d times in %d readings, want once", seen, restEvery)
	}
}

// TestThisHostsThrottling burns a CPU under a quota in its own cgroup and compares the
// reported values with the kernel's file.
func TestThisHostsThrottling(t *testing.T) {
	h := host("/proc", "/sys/fs/cgroup")
	r := opened(t, h)
	if os.Geteuid() != 0 {
		t.Skip("needs root to make a cgroup")
	}
	g := newGroup(t, fmt.Sprintf("headroom-test-%d", os.Getpid()), cgroups.CPULimit(0.2), cgroups.CPU, cgroups.CPUAcct, cgroups.Unified)
	cmd := g.Command("sh", "-c", "while :; do :; done")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var waited bool
	stop := func() {
		if !waited {
			waited = true
			_ = cmd.Process.Kill() //nolint:errcheck // it may have ended
			_ = cmd.Wait()         //nolint:errcheck // killed
		}
	}
	t.Cleanup(stop)
	time.Sleep(100 * time.Millisecond)
	diff := observe.NewDiffer(h.Index)
	first := snapshot(t, r, h)
	diff.Step(first)
	before := throttledTime(t, g)
	time.Sleep(time.Second)
	second := snapshot(t, r, h)
	second.Monotonic = first.Monotonic + time.Second
	w := diff.Step(second)
	after := throttledTime(t, g)
	id, ok := h.Index.Find(observe.Entity{Kind: observe.Cgroup, ID: g.Path})
	if !ok {
		t.Fatal("the test's cgroup was not found")
	}
	if got, _ := w.Last(catalog.CgroupCPULimit, id); math.Abs(got-0.2) > 1e-9 {
		t.Errorf("limit = %v cores, want 0.2", got)
	}
	periods, _ := w.Increase(catalog.CgroupPeriods, id)
	throttled, _ := w.Increase(catalog.CgroupThrottled, id)
	if periods < 5 || throttled < 5 || throttled > periods {
		t.Errorf("throttled in %v of %v periods, want most of about 10", throttled, periods)
	}
	stopped, _ := w.Increase(catalog.CgroupThrottledS, id)
	if stopped > after-before+1e-9 || stopped < 0.2 {
		t.Errorf("throttled for %v s, want at most the file's %v s", stopped, after-before)
	}
	used, _ := w.Increase(catalog.CgroupCPUTime, id)
	if used < 0.1 || used > 0.35 {
		t.Errorf("used %v s of CPU in about one second, want about 0.2", used)
	}
	if r.tree.unified != "" {
		if waited, ok := w.Increase(catalog.CgroupCPUSome, id); !ok || waited < 0.2 {
			t.Logf("pressure = %v %v s: psi may be off", waited, ok)
		}
	}
	t.Logf("throttled %.4f s (file: %.4f s), used %.4f s, %v of %v periods", stopped, after-before, used, throttled, periods)
	stop()
	if err := g.Delete(); err != nil {
		t.Error(err)
	}
	if s := snapshot(t, r, h); len(s.Ended) != 1 || s.Ended[0].ID != id {
		t.Errorf("ended = %v, want the removed cgroup", s.Ended)
	}
}

// newGroup creates a cgroup that exists until the test or benchmark ends.
func newGroup(tb testing.TB, path string, limits *specs.LinuxResources, controllers ...cgroups.Controller) *cgroups.Group {
	tb.Helper()
	g, err := cgroups.New(path, limits, controllers...)
	if err != nil {
		tb.Skip(err)
	}
	tb.Cleanup(func() {
		if err := g.Delete(); err != nil {
			tb.Error(err)
		}
	})
	return g
}

func throttledTime(t *testing.T, g *cgroups.Group) float64 {
	t.Helper()
	d, err := g.Throttled()
	if err != nil {
		t.Fatal(err)
	}
	return d.Seconds()
}

func TestParseMax(t *testing.T) {
	for text, want := range map[string]bool{
		"50000 100000\n": true, "max 100000\n": false, "": false, "50000": false, "50000 0\n": false, "0 100000\n": false,
		"99999999999999999999999 100000\n": false,
	} {
		if _, _, got := parseMax([]byte(text)); got != want {
			t.Errorf("%q limits = %v, want %v", text, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("usage_usec 8537362\nnr_periods 100\nthrottled_time 18446744073709551616\n"))
	f.Add([]byte("some avg10=0.06 avg60=0.21 avg300=0.99 total=8537362\nfull total="))
	f.Fuzz(func(t *testing.T, b []byte) {
		st := parseStat(b)
		some, full := parsePressure(b)
		for _, v := range []field{st.usage, st.periods, st.throttled, st.throttledTime, some, full} {
			if v.value < 0 || math.IsNaN(v.value) || !v.known && v.value != 0 {
				t.Errorf("%q gave %v", b, v)
			}
		}
		parseMax(b)
	})
}

// BenchmarkRead reads this host's tree with 110 additional groups.
func BenchmarkRead(b *testing.B) {
	h := host("/proc", "/sys/fs/cgroup")
	r := opened(b, h)
	if os.Geteuid() != 0 {
		b.Skip("needs root to make cgroups")
	}
	for i := range 110 {
		newGroup(b, fmt.Sprintf("headroom-bench-%d-%d", os.Getpid(), i), cgroups.CPULimit(0.5), cgroups.CPU, cgroups.CPUAcct, cgroups.Unified)
	}
	s := observe.NewSnapshot(h.Index)
	b.Run("walk", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Reset()
			r.survey(s)
		}
	})
	b.Run("tick", func(b *testing.B) {
		r.nextWalk = time.Now().Add(time.Hour)
		b.ReportAllocs()
		for b.Loop() {
			s.Reset()
			if err := r.Read(s); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(r.groups)), "groups")
	})
}
