// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

func TestRecorded(t *testing.T) {
	s := read(t, "testdata/proc")
	node, _ := s.Index.Find(observe.Entity{Kind: observe.Node, ID: catalog.NodeID})
	for m, want := range map[*observe.Metric]float64{
		catalog.ConntrackCount: 262_131, catalog.ConntrackLimit: 262_144,
		catalog.ConntrackDrops: 0x1a + 3, catalog.ConntrackEvictions: 1,
	} {
		if got, ok := s.Value(m, node); !ok || got != want {
			t.Errorf("%s = %v %v, want %v", m.Key(), got, ok, want)
		}
	}
}

func read(t *testing.T, proc string) *observe.Snapshot {
	t.Helper()
	h := &sampler.Host{Proc: proc, Index: observe.NewIndex(10)}
	r, err := Sampler.Open(h)
	if errors.Is(err, sampler.ErrNotSupported) && proc == "/proc" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	s := observe.NewSnapshot(h.Index)
	if err := r.Read(s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestThisHost(t *testing.T) {
	if s := read(t, "/proc"); len(s.Metrics()) < 2 {
		t.Errorf("metrics = %v", s.Metrics())
	}
}

// TestNotTracked checks that on a host without the module there is no gap.
func TestNotTracked(t *testing.T) {
	_, err := Sampler.Open(&sampler.Host{Proc: t.TempDir(), Index: observe.NewIndex(10)})
	var u *sampler.Unsupported
	if !errors.As(err, &u) || u.Cure != "" {
		t.Errorf("error = %v, want not supported without a cure", err)
	}
}

func TestUncountedDropsAreAGap(t *testing.T) {
	dir := t.TempDir()
	for file, text := range map[string]string{fileCount: "7\n", fileLimit: "0\n"} {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := read(t, dir)
	if len(s.Gaps) != 1 || !strings.Contains(s.Gaps[0].Reason, "not counted") {
		t.Errorf("gaps = %v", s.Gaps)
	}
	if got := s.Metrics(); len(got) != 1 || got[0] != catalog.ConntrackCount {
		t.Errorf("metrics = %v: a limit of 0 is none", got)
	}
}

func TestStat(t *testing.T) {
	for _, c := range []struct {
		text             string
		dropped, evicted uint64
		ok               bool
	}{
		{"entries drop early_drop\n1 2 ffffffff\n1 1 1\n", 3, 1 << 32, true},
		{"entries drop early_drop\n", 0, 0, false},
		{"entries found\n1 2\n", 0, 0, false},
		{"entries drop early_drop\n1 2\n", 0, 0, false},
		{"entries drop early_drop\n1 x 1\n", 0, 0, false},
		{"entries drop early_drop\n1 100000000 1\n", 0, 0, false},
	} {
		if d, e, ok := parseStat([]byte(c.text)); d != c.dropped || e != c.evicted || ok != c.ok {
			t.Errorf("%q = %d %d %v, want %d %d %v", c.text, d, e, ok, c.dropped, c.evicted, c.ok)
		}
	}
}

func FuzzStat(f *testing.F) {
	f.Add([]byte("entries drop early_drop\n1 2 ffffffff\n"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		parseStat(b)
		number(b)
	})
}
