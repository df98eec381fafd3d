// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/containerd/cgroups/v3/cgroup1"
	"github.com/containerd/cgroups/v3/cgroup2"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/internal/testutil/cgroups"
)

// BenchmarkLibrary reads what is needed each second of each cgroup, with this package
// and with containerd/cgroups, at the number of cgroups of a full node and of a large
// one. The results are in docs/decisions/2026-11-28-cgroup-files-are-read-by-hand.md.
func BenchmarkLibrary(b *testing.B) {
	for _, n := range []int{110, 500} {
		b.Run(fmt.Sprintf("cgroups=%d", n), func(b *testing.B) {
			groups := benchGroups(b, n)
			b.Run("headroom", func(b *testing.B) { readOurs(b, groups) })
			if !cgroups.V2() {
				b.Run("cgroup1", func(b *testing.B) { readV1(b, groups, cgroups.CPU, cgroups.CPUAcct) })
				b.Run("cgroup1-memory", func(b *testing.B) { readV1(b, groups, cgroups.Memory) })
				b.Run("headroom-memory", func(b *testing.B) { readOurMemory(b, groups) })
			}
			b.Run("headroom-v2", func(b *testing.B) { readOurV2(b, groups) })
			b.Run("cgroup2", func(b *testing.B) { readV2(b, groups) })
		})
	}
}

// benchGroups creates cgroups with limits in the hierarchies that are read.
func benchGroups(b *testing.B, n int) []*cgroups.Group {
	b.Helper()
	var all []*cgroups.Group
	for i := range n {
		g := newGroup(b, fmt.Sprintf("headroom-bench-%d/%d", os.Getpid(), i), cgroups.CPULimit(0.5), cgroups.CPU, cgroups.CPUAcct, cgroups.Memory, cgroups.Unified)
		if err := g.Update(cgroups.MemoryLimit(64 << 20)); err != nil {
			b.Fatal(err)
		}
		all = append(all, g)
	}
	return all
}

// perGroup reports a benchmark's time per cgroup.
func perGroup(b *testing.B, groups []*cgroups.Group, read func(*cgroups.Group)) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		for _, g := range groups {
			read(g)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(groups)), "ns/cgroup")
}

// ours returns a reader that has already read the groups.
func ours(b *testing.B) (*reader, *observe.Snapshot) {
	b.Helper()
	h := host("/proc", "/sys/fs/cgroup")
	r := opened(b, h)
	s := observe.NewSnapshot(h.Index)
	if err := r.Read(s); err != nil {
		b.Fatal(err)
	}
	r.nextWalk = time.Now().Add(time.Hour)
	return r, s
}

// readOurs reads everything that is needed each second: CPU time, throttling, pressure,
// memory.
func readOurs(b *testing.B, groups []*cgroups.Group) {
	r, s := ours(b)
	perGroup(b, groups, func(g *cgroups.Group) {
		if g == groups[0] {
			s.Reset()
		}
		r.read(s, r.groups[g.Path])
	})
}

// readOurMemory reads memory.stat and the files that are read together with it.
func readOurMemory(b *testing.B, groups []*cgroups.Group) {
	r, s := ours(b)
	perGroup(b, groups, func(g *cgroups.Group) {
		if g == groups[0] {
			s.Reset()
		}
		r.readMemory(s, r.groups[g.Path])
		r.readMemoryStat(s, r.groups[g.Path])
	})
}

// readOurV2 reads v2's cpu.stat and cpu.pressure, which every hierarchy of v2 has.
func readOurV2(b *testing.B, groups []*cgroups.Group) {
	r, s := ours(b)
	for _, g := range groups {
		f := &r.groups[g.Path].stat
		r.files.close(f)
		f.path = g.Dir(cgroups.Unified) + "/cpu.stat"
	}
	perGroup(b, groups, func(g *cgroups.Group) {
		if g == groups[0] {
			s.Reset()
		}
		r.readStat(s, r.groups[g.Path])
		r.readPressure(s, r.groups[g.Path], 0)
	})
}

// readV1 reads with the library's readers of v1 controllers.
func readV1(b *testing.B, groups []*cgroups.Group, controllers ...cgroups.Controller) {
	loaded := make(map[*cgroups.Group]cgroup1.Cgroup)
	for _, g := range groups {
		c, err := cgroup1.Load(cgroup1.StaticPath(g.Path), cgroup1.WithHierarchy(func() ([]cgroup1.Subsystem, error) {
			var some []cgroup1.Subsystem
			all, err := cgroup1.Default()
			for _, s := range all {
				for _, c := range controllers {
					if s.Name() == c {
						some = append(some, s)
					}
				}
			}
			return some, err
		}))
		if err != nil {
			b.Fatal(err)
		}
		loaded[g] = c
	}
	perGroup(b, groups, func(g *cgroups.Group) {
		if _, err := loaded[g].Stat(cgroup1.IgnoreNotExist); err != nil {
			b.Fatal(err)
		}
	})
}

// readV2 reads v2's CPU statistics, which include cpu.pressure.
func readV2(b *testing.B, groups []*cgroups.Group) {
	loaded := make(map[*cgroups.Group]*cgroup2.Manager)
	for _, g := range groups {
		m, err := cgroup2.Load(g.Path, cgroup2.WithMountpoint(cgroups.Root(cgroups.Unified)))
		if err != nil {
			b.Fatal(err)
		}
		loaded[g] = m
	}
	perGroup(b, groups, func(g *cgroups.Group) {
		if _, err := loaded[g].StatFiltered(cgroup2.StatCPU); err != nil {
			b.Fatal(err)
		}
	})
}
