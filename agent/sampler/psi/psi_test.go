// SPDX-License-Identifier: Apache-2.0

package psi

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

func host(proc string) *sampler.Host {
	return &sampler.Host{Proc: proc, Index: observe.NewIndex(100)}
}

func TestRecorded(t *testing.T) {
	h := host("testdata/proc")
	r, err := Sampler.Open(h)
	if err != nil {
		t.Fatal(err)
	}
	s := observe.NewSnapshot(h.Index)
	if err := r.Read(s); err != nil {
		t.Fatal(err)
	}
	node, _ := h.Index.Find(observe.Entity{Kind: observe.Node, ID: catalog.NodeID})
	for m, want := range map[*observe.Metric]float64{
		catalog.HostCPUSome: 8.537362, catalog.HostMemorySome: 0.000113, catalog.HostMemoryFull: 0.000101,
		catalog.HostIOSome: 12.000001, catalog.HostIOFull: 11.5,
	} {
		if got, ok := s.Value(m, node); !ok || got != want {
			t.Errorf("%s = %v %v, want %v s", m.Key(), got, ok, want)
		}
	}
	if len(s.Gaps) != 0 {
		t.Errorf("gaps = %v, want none", s.Gaps)
	}
}

func TestNoPSI(t *testing.T) {
	_, err := Sampler.Open(host(t.TempDir()))
	if !errors.Is(err, sampler.ErrNotSupported) || !strings.Contains(err.Error(), "psi=1") {
		t.Errorf("error = %v, want not supported and the cure", err)
	}
}

func TestSwitchedOff(t *testing.T) {
	for _, err := range []error{syscall.EOPNOTSUPP, fs.ErrNotExist, fs.ErrPermission} {
		if got := explain("/proc", "cpu", fmt.Errorf("read: %w", err)); !errors.Is(got, sampler.ErrNotSupported) {
			t.Errorf("explanation of %v = %v, want not supported", err, got)
		}
	}
	if got := explain("/proc", "cpu", syscall.EIO); errors.Is(got, sampler.ErrNotSupported) {
		t.Errorf("explanation of an I/O error = %v, want the error", got)
	}
}

// TestTruncated truncates every file at every length and checks that what is missing is
// a gap, and that no value is invented.
func TestTruncated(t *testing.T) {
	whole, err := os.ReadFile("testdata/proc/pressure/io")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "pressure"), 0o700); err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		for _, name := range []string{"cpu", "memory", "io"} {
			if err := os.WriteFile(filepath.Join(dir, "pressure", name), whole[:n], 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if r, err := Sampler.Open(host(dir)); err == nil {
			if err := r.Read(observe.NewSnapshot(observe.NewIndex(10))); err != nil {
				t.Errorf("read of the first %d bytes: %v", n, err)
			}
		}
	}
}

func TestThisHost(t *testing.T) {
	h := host("/proc")
	r, err := Sampler.Open(h)
	if errors.Is(err, sampler.ErrNotSupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	s := observe.NewSnapshot(h.Index)
	if err := r.Read(s); err != nil {
		t.Fatal(err)
	}
	if len(s.Metrics()) != len(Sampler.Provides) {
		t.Errorf("metrics = %d, want %d", len(s.Metrics()), len(Sampler.Provides))
	}
}
