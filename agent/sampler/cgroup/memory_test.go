// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/internal/testutil/cgroups"
)

func about(t *testing.T, h *sampler.Host, path string) observe.ID {
	t.Helper()
	id, ok := h.Index.Find(observe.Entity{Kind: observe.Cgroup, ID: path})
	if !ok {
		t.Fatalf("%s was not found", path)
	}
	return id
}

// absent marks a value that must not be reported.
const absent = -1

func wantValues(t *testing.T, s *observe.Snapshot, id observe.ID, values map[*observe.Metric]float64) {
	t.Helper()
	for m, want := range values {
		got, ok := s.Value(m, id)
		if ok != (want != absent) || ok && got != want {
			t.Errorf("%s = %v %v, want %v", m.Key(), got, ok, want)
		}
	}
}

// TestRecordedMemory checks a pod with a limit whose container was killed (Linux 7.2,
// v2), and a pod that reads a file larger than its limit (6.18, v1).
func TestRecordedMemory(t *testing.T) {
	h := host("testdata/none", "testdata/v2")
	s := snapshot(t, opened(t, h), h)
	wantValues(t, s, about(t, h, pods), map[*observe.Metric]float64{
		catalog.CgroupMemoryUsage: 21192704, catalog.CgroupMemoryPeak: 67108864, catalog.CgroupMemoryLimit: 64 << 20, catalog.CgroupMemoryHigh: absent,
		catalog.CgroupMaxEvents: 36, catalog.CgroupHighEvents: 0, catalog.CgroupOOMEvents: 1, catalog.CgroupOOMKills: 0,
	})
	wantValues(t, s, about(t, h, pods+"/cri-containerd-"+id+".scope"), map[*observe.Metric]float64{
		catalog.CgroupMemoryUsage: 21180416, catalog.CgroupMemoryLimit: absent, catalog.CgroupMemoryHigh: 48 << 20,
		catalog.CgroupMaxEvents: 0, catalog.CgroupHighEvents: 954, catalog.CgroupOOMKills: 1,
		catalog.CgroupMemoryAnon: 57344, catalog.CgroupMemoryFile: 20971520, catalog.CgroupMemoryShmem: 20971520, catalog.CgroupMemoryKernel: 102400,
		catalog.CgroupMemoryInactiveFile: 0, catalog.CgroupMemorySwap: 0, catalog.CgroupRefaults: 0, catalog.CgroupThrash: 0, catalog.CgroupReclaimed: 0,
	})
	wantValues(t, s, about(t, h, "/"), map[*observe.Metric]float64{catalog.CgroupMemoryUsage: absent})

	h = host("testdata/none", "testdata/hybrid")
	s = snapshot(t, opened(t, h), h)
	wantValues(t, s, about(t, h, "/docker"), map[*observe.Metric]float64{
		catalog.CgroupMemoryUsage: 38707200, catalog.CgroupMemoryPeak: 67108864, catalog.CgroupMemoryLimit: 64 << 20,
		catalog.CgroupMaxEvents: 4185, catalog.CgroupOOMKills: 0, catalog.CgroupHighEvents: absent, catalog.CgroupOOMEvents: absent,
	})
	wantValues(t, s, about(t, h, "/docker/"+id), map[*observe.Metric]float64{
		catalog.CgroupMemoryUsage: 38367232, catalog.CgroupMemoryPeak: 68915200, catalog.CgroupMemoryLimit: absent, catalog.CgroupMaxEvents: 0,
		catalog.CgroupMemoryAnon: 0, catalog.CgroupMemoryFile: 37978112, catalog.CgroupMemoryInactiveFile: 37773312, catalog.CgroupMemoryShmem: 0,
		catalog.CgroupMemoryKernel: 204800, catalog.CgroupMemorySwap: 0, catalog.CgroupMajorFaults: 2, catalog.CgroupRefaults: 51237,
		catalog.CgroupThrash: absent, catalog.CgroupReclaimed: absent,
	})
}

// TestOldKernel checks files of Linux 5.10, which have no line for all kernel memory.
func TestOldKernel(t *testing.T) {
	b, err := os.ReadFile("testdata/memory.stat-5.10")
	if err != nil {
		t.Fatal(err)
	}
	if st := parseMemoryStat(b, false); !st.kernel.known || !st.restored.known || st.shmem.value != 20951040 {
		t.Errorf("statistics = %+v, want kernel memory added up from its parts", st)
	}
	if st := parseMemoryStat(b, true); st != (memoryStat{}) {
		t.Errorf("statistics = %+v, want none: v1 calls them total_", st)
	}
}

func TestParseLimit(t *testing.T) {
	for text, want := range map[string]field{
		"134217728\n": {134217728, true}, "0\n": {0, true}, "max\n": {}, "": {}, "9223372036854771712\n": {}, "9223372036854710272\n": {},
		"18446744073709551615\n": {}, "99999999999999999999999\n": {},
	} {
		if got := parseLimit([]byte(text)); got != want {
			t.Errorf("limit of %q = %v, want %v", text, got, want)
		}
	}
}

// TestLimitWithoutProcesses checks the group of a pod on v2: its limit applies to
// containers that are not started yet or were just killed.
func TestLimitWithoutProcesses(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/cgroup.controllers", "memory\n")
	write(t, dir+"/cpu.stat", "usage_usec 5\n")
	write(t, dir+"/pod/memory.max", "1048576\n")
	write(t, dir+"/pod/memory.current", "4096\n")
	write(t, dir+"/free/memory.max", "max\n")
	write(t, dir+"/free/memory.current", "4096\n")
	h := host("testdata/none", dir)
	s := snapshot(t, opened(t, h), h)
	wantValues(t, s, about(t, h, "/pod"), map[*observe.Metric]float64{catalog.CgroupMemoryLimit: 1 << 20, catalog.CgroupMemoryUsage: 4096})
	if _, ok := h.Index.Find(observe.Entity{Kind: observe.Cgroup, ID: "/free"}); ok {
		t.Error("/free holds nothing and has no limit, but was reported")
	}
}

// TestMemoryIsReadSoon checks that the memory events of a container with a limit are
// read each second and the statistics every five seconds, without any cached
// descriptor.
func TestMemoryIsReadSoon(t *testing.T) {
	h := host("testdata/none", "testdata/v2")
	r := opened(t, h)
	r.files.budget = 0
	now := time.Now()
	r.now = func() time.Time { return now }
	stats, tick := 0, 0
	for ; tick < 16; tick++ {
		s := snapshot(t, r, h)
		now = now.Add(time.Second)
		container := about(t, h, pods+"/cri-containerd-"+id+".scope")
		if _, ok := s.Value(catalog.CgroupOOMKills, container); !ok {
			t.Errorf("kills were not read in tick %d", tick)
		}
		_, ok := s.Value(catalog.CgroupMemoryAnon, container)
		if tick == 0 && !ok {
			t.Error("statistics were not read in the first tick: their increase has no beginning")
		}
		if ok {
			stats++
		}
	}
	if stats < 4 || stats > 5 {
		t.Errorf("statistics were read %d times in %d s, want one in five and the first", stats, tick)
	}
}

// TestStatBudget advances the clock by 4 ms each time it is read.
func TestStatBudget(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/cgroup.controllers", "memory\n")
	write(t, dir+"/cpu.stat", "usage_usec 5\n")
	for i := range 12 {
		g := dir + "/" + strconv.Itoa(i)
		write(t, g+"/cgroup.procs", "1\n")
		write(t, g+"/memory.stat", "anon 1\n")
		write(t, g+"/memory.current", "1\n")
	}
	h := host("testdata/none", dir)
	r := opened(t, h)
	now := time.Now()
	r.now = func() time.Time { now = now.Add(4 * time.Millisecond); return now }
	read := make(map[observe.ID]bool)
	for range 12 {
		s := snapshot(t, r, h)
		before := len(read)
		for id := range s.Values(catalog.CgroupMemoryAnon) {
			read[id] = true
		}
		if len(read)-before > 3 {
			t.Errorf("%d groups in one tick, want at most as many as take 10 ms", len(read)-before)
		}
	}
	if len(read) != 12 {
		t.Errorf("statistics of %d groups, want all 12 after a while", len(read))
	}
}

// TestThisHostsMemory fills a group's memory with a file and compares the reported
// values with the kernel's files, and with what remains afterwards.
func TestThisHostsMemory(t *testing.T) {
	h := host("/proc", "/sys/fs/cgroup")
	r := opened(t, h)
	if os.Geteuid() != 0 || r.tree.memoryV1 == "" {
		t.Skip("needs root to make a cgroup, and the memory controller on v1: guests show v2")
	}
	g := newGroup(t, fmt.Sprintf("headroom-test-%d", os.Getpid()), cgroups.MemoryLimit(32<<20), cgroups.Memory)
	s := snapshot(t, r, h)
	group := about(t, h, g.Path)
	wantValues(t, s, group, map[*observe.Metric]float64{
		catalog.CgroupMemoryLimit: 32 << 20, catalog.CgroupMemoryUsage: 0, catalog.CgroupMaxEvents: 0, catalog.CgroupOOMKills: 0, catalog.CgroupMemoryAnon: 0,
	})
	if err := g.Delete(); err != nil {
		t.Fatal(err)
	}
	if s := snapshot(t, r, h); len(s.Ended) != 1 || s.Ended[0].ID != group {
		t.Errorf("ended = %v, want the removed cgroup", s.Ended)
	}
}

func FuzzParseMemory(f *testing.F) {
	f.Add([]byte("cache 9662464\ntotal_cache 92672000\ntotal_rss 18446744073709551616\n"))
	f.Add([]byte("anon 2891776\nkernel_stack 1\nslab 2\nworkingset_refault_file 512\nlow"))
	f.Add([]byte("high 1201\nmax 37\noom 1\noom_kill 1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		v1, v2, e := parseMemoryStat(b, true), parseMemoryStat(b, false), parseEvents(b)
		for _, v := range []field{v1.anon, v1.kernel, v2.anon, v2.kernel, v2.refaults, e.high, e.kills, parseLimit(b)} {
			if v.value < 0 || !v.known && v.value != 0 {
				t.Errorf("%q gave %v", b, v)
			}
		}
		if v1.kernel.known && !strings.Contains(string(b), "total_kernel") {
			t.Errorf("%q gave kernel memory on v1", b)
		}
	})
}

// BenchmarkMemory reads this host's tree with 220 additional groups: 110 pods with one
// container each.
func BenchmarkMemory(b *testing.B) {
	h := host("/proc", "/sys/fs/cgroup")
	r := opened(b, h)
	if os.Geteuid() != 0 {
		b.Skip("needs root to make cgroups")
	}
	for i := range 110 {
		newGroup(b, fmt.Sprintf("headroom-bench-%d-%d/c", os.Getpid(), i), cgroups.MemoryLimit(64e6), cgroups.Memory, cgroups.CPU, cgroups.CPUAcct, cgroups.Unified)
	}
	s := observe.NewSnapshot(h.Index)
	b.Run("walk", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Reset()
			r.survey(s)
		}
	})
	b.Run("second", func(b *testing.B) {
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
	b.Run("statistics", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Reset()
			for _, g := range r.order {
				if g.memory.stat != "" {
					r.readMemoryStat(s, g)
				}
			}
		}
	})
}
