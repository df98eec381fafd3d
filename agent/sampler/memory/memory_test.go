// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"errors"
	"math"
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

func read(t *testing.T, h *sampler.Host) (*observe.Snapshot, observe.ID) {
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
	node, _ := h.Index.Find(observe.Entity{Kind: observe.Node, ID: catalog.NodeID})
	return s, node
}

// tree returns a host whose /proc has these files.
func tree(t *testing.T, files map[string]string) *sampler.Host {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return host(dir)
}

func TestRecorded(t *testing.T) {
	s, node := read(t, host("testdata/proc"))
	if got := len(s.Metrics()); got != len(Sampler.Provides) {
		t.Errorf("%d metrics of a recorded 6.18, want %d", got, len(Sampler.Provides))
	}
	if len(s.Gaps) > 0 {
		t.Errorf("gaps = %v", s.Gaps)
	}
	available, _ := s.Value(catalog.HostMemoryAvailable, node)
	if free, _ := s.Value(catalog.HostMemoryFree, node); free <= 0 || available <= 0 {
		t.Errorf("free = %v, available = %v", free, available)
	}
}

func TestNumbers(t *testing.T) {
	s, node := read(t, tree(t, map[string]string{
		"meminfo": "MemFree: 100 kB\nMemAvailable:  200 kB\nBuffers: 3 kB\nCached: 40 kB\nAnonPages: 50 kB\nSwapCached: 2 kB\nSwapTotal: 10 kB\nSwapFree: 4 kB\nHugePages_Total: 0\n",
		"vmstat":  "pgmajfault 1\npswpin 2\npswpout 3\npgscan_direct 4\npgscan_direct_throttle 99\nworkingset_refault_anon 98\nworkingset_refault_file 5\nworkingset_restore_file 6\noom_kill 7\n",
	}))
	for m, want := range map[*observe.Metric]float64{
		catalog.HostMemoryFree: 100 << 10, catalog.HostMemoryAvailable: 200 << 10, catalog.HostMemoryCached: 43 << 10, catalog.HostMemoryAnon: 50 << 10,
		catalog.HostSwapTotal: 10 << 10, catalog.HostSwapUsed: 4 << 10, catalog.HostMajorFaults: 1, catalog.HostSwapIn: 2, catalog.HostSwapOut: 3,
		catalog.HostDirectReclaim: 4, catalog.HostRefaults: 5, catalog.HostThrash: 6, catalog.HostOOMKills: 7,
	} {
		if got, ok := s.Value(m, node); !ok || got != want {
			t.Errorf("%s = %v %v, want %v", m.Key(), got, ok, want)
		}
	}
}

// TestOlderNames checks kernels before 5.9, whose working set counters only include
// files.
func TestOlderNames(t *testing.T) {
	v := parseVmstat([]byte("workingset_refault 5\nworkingset_restore 6\n"))
	if v.refaults.value != 5 || v.restores.value != 6 {
		t.Errorf("refaults = %v, restores = %v, want 5 and 6", v.refaults, v.restores)
	}
}

func TestWhatIsMissingIsNotZero(t *testing.T) {
	s, node := read(t, tree(t, map[string]string{"meminfo": "MemFree: x kB\nMemAvailable: 99999999999999999999999 kB\nCached: 4 kB"}))
	if got := len(s.Metrics()); got != 0 {
		t.Errorf("%d metrics, want none: a word, a number above 2^64, a line cut short", got)
	}
	if _, ok := s.Value(catalog.HostSwapUsed, node); ok {
		t.Error("swap in use is known without its total")
	}
	if len(s.Gaps) != 1 {
		t.Errorf("gaps = %v, want vmstat", s.Gaps)
	}
}

func TestThisHost(t *testing.T) {
	if _, err := os.Stat("/proc/vmstat"); err != nil {
		t.Skip(err)
	}
	s, _ := read(t, host("/proc"))
	if got := len(s.Metrics()); got != len(Sampler.Provides) {
		t.Errorf("%d metrics, want %d: vmstat is longer than the page that one read returns", got, len(Sampler.Provides))
	}
}

func TestNothingToRead(t *testing.T) {
	if _, err := Sampler.Open(host(t.TempDir())); !errors.Is(err, sampler.ErrNotSupported) {
		t.Errorf("error = %v, want that it is not supported", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"meminfo", "vmstat"} {
		text, err := os.ReadFile("testdata/proc/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("oom_kill 18446744073709551616\nCached: 1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, v := parseMeminfo(b), parseVmstat(b)
		for _, n := range []field{m.free, m.available, m.cached, m.swapFree, v.majorFaults, v.refaults, v.oomKills} {
			if n.value < 0 || math.IsNaN(n.value) || math.IsInf(n.value, 0) || !n.known && n.value != 0 {
				t.Errorf("%q gave %v", b, n)
			}
		}
	})
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
