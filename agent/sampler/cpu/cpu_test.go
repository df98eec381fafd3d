// SPDX-License-Identifier: Apache-2.0

package cpu

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

func host(proc string) *sampler.Host {
	return &sampler.Host{Proc: proc, Index: observe.NewIndex(1000)}
}

func read(t *testing.T, h *sampler.Host) *observe.Snapshot {
	t.Helper()
	r, err := Sampler.Open(h)
	if err != nil {
		t.Fatal(err)
	}
	s := observe.NewSnapshot(h.Index)
	if err := r.Read(s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRecorded(t *testing.T) {
	h := host("testdata/proc")
	s := read(t, h)
	node, _ := h.Index.Find(observe.Entity{Kind: observe.Node, ID: catalog.NodeID})
	one, ok := h.Index.Find(observe.Entity{Kind: observe.CPU, ID: "1"})
	if !ok {
		t.Fatal("no CPU 1")
	}
	if up, _ := h.Index.Parent(one); up != node {
		t.Errorf("parent of CPU 1 = %d, want the node", up)
	}
	for m, want := range map[*observe.Metric]float64{
		catalog.CPUUser: 20 + 3 - 4 - 1, catalog.CPUSystem: 5, catalog.CPUIdle: 100, catalog.CPUIOWait: 6, catalog.CPUIRQ: 9,
		catalog.CPUSoftIRQ: 7, catalog.CPUSteal: 8, catalog.CPUGuest: 5,
	} {
		if got, ok := s.Value(m, one); !ok || got != want {
			t.Errorf("%s of CPU 1 = %v %v, want %v s", m.Key(), got, ok, want)
		}
	}
	for m, want := range map[*observe.Metric]float64{catalog.CPUCount: 2, catalog.RunnableTasks: 3, catalog.MemoryTotal: 24_000_000 * 1024} {
		if got, ok := s.Value(m, node); !ok || got != want {
			t.Errorf("%s = %v %v, want %v", m.Key(), got, ok, want)
		}
	}
}

func TestNoMemInfo(t *testing.T) {
	b, err := os.ReadFile("testdata/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "stat"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	h := host(dir)
	s := read(t, h)
	node, _ := h.Index.Find(observe.Entity{Kind: observe.Node, ID: catalog.NodeID})
	if v, ok := s.Value(catalog.MemoryTotal, node); ok {
		t.Errorf("memory = %v, want none: not known is not zero", v)
	}
}

func TestNoStat(t *testing.T) {
	if _, err := Sampler.Open(host(t.TempDir())); err == nil {
		t.Error("opened without /proc/stat")
	}
}

func TestThisHost(t *testing.T) {
	if _, err := os.Stat("/proc/stat"); err != nil {
		t.Skip(err)
	}
	h := host("/proc")
	s := read(t, h)
	if got := len(s.Metrics()); got != len(Sampler.Provides) {
		t.Errorf("metrics = %d, want %d", got, len(Sampler.Provides))
	}
}

func BenchmarkRead(b *testing.B) {
	h := host("/proc")
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
