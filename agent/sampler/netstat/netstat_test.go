// SPDX-License-Identifier: Apache-2.0

package netstat

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

func read(t *testing.T, proc string) (*observe.Index, *observe.Snapshot) {
	t.Helper()
	x := observe.NewIndex(100)
	r, err := Sampler.Open(&sampler.Host{Proc: proc, Index: x})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	s := observe.NewSnapshot(x)
	if err := r.Read(s); err != nil {
		t.Fatal(err)
	}
	return x, s
}

// TestRecorded checks files of a host with CPUs 0 and 3, the second of which dropped
// packets, and with a full accept queue.
func TestRecorded(t *testing.T) {
	x, s := read(t, "testdata/proc")
	node, _ := x.Find(observe.Entity{Kind: observe.Node, ID: catalog.NodeID})
	third, _ := x.Find(observe.Entity{Kind: observe.CPU, ID: "3"})
	for _, c := range []struct {
		m    *observe.Metric
		id   observe.ID
		want float64
	}{
		{catalog.TCPSegmentsOut, node, 73013}, {catalog.TCPRetransmits, node, 31},
		{catalog.TCPOverflows, node, 12}, {catalog.TCPListenDrops, node, 14},
		{catalog.SoftnetLimit, node, 1000}, {catalog.SoftnetPackets, third, 0x431af}, {catalog.SoftnetDropped, third, 17}, {catalog.SoftnetSqueezed, third, 2},
	} {
		if got, ok := s.Value(c.m, c.id); !ok || got != c.want {
			t.Errorf("%s = %v %v, want %v", c.m.Key(), got, ok, c.want)
		}
	}
}

func TestNothingThere(t *testing.T) {
	if _, err := Sampler.Open(&sampler.Host{Proc: t.TempDir(), Index: observe.NewIndex(10)}); !errors.Is(err, sampler.ErrNotSupported) {
		t.Errorf("error = %v, want not supported", err)
	}
}

func TestThisHost(t *testing.T) {
	_, s := read(t, "/proc")
	if got := len(s.Metrics()); got != len(Sampler.Provides) || len(s.Gaps) > 0 {
		t.Errorf("metrics = %d, gaps = %v, want %d and none", got, s.Gaps, len(Sampler.Provides))
	}
}

func TestCounter(t *testing.T) {
	const most = "18446744073709551615"
	for _, c := range []struct {
		text string
		want uint64
		ok   bool
	}{
		{"Tcp: A OutSegs\nTcp: 1 7\n", 7, true},
		{"Ip: OutSegs\nIp: 5\nTcp: OutSegs\nTcp: " + most, math.MaxUint64, true},
		{"Tcp: OutSegs\nTcp: " + most + "0\n", 0, false},
		{"Tcp: OutSegs\nTcp: -1\n", 0, false},
		{"Tcp: OutSegs\n", 0, false},
		{"Tcp: A OutSegs\nTcp: 1\n", 0, false},
		{"", 0, false},
	} {
		if got, ok := counter([]byte(c.text), "Tcp", "OutSegs"); got != c.want || ok != c.ok {
			t.Errorf("%q = %d %v, want %d %v", c.text, got, ok, c.want, c.ok)
		}
	}
}

// TestOldKernel checks lines without the number of the CPU.
func TestOldKernel(t *testing.T) {
	var cpus []int
	err := parseSoftnet([]byte("01 00 00\n02 00 00\n"), func(c cpuPackets) { cpus = append(cpus, c.cpu) })
	if err != nil || len(cpus) != 2 || cpus[1] != 1 {
		t.Errorf("CPUs = %v, %v", cpus, err)
	}
}

func FuzzSoftnet(f *testing.F) {
	f.Add([]byte("00006dcb 00000000 00000002 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 ffffffff\n"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		r := &reader{index: observe.NewIndex(100), cpus: make(map[int]observe.ID)}
		_ = parseSoftnet(b, func(c cpuPackets) { r.id(c.cpu) }) //nolint:errcheck // must not panic
	})
}

func FuzzCounter(f *testing.F) {
	b, err := os.ReadFile(filepath.Join("testdata", "proc", "net", "snmp"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, "Tcp", "OutSegs")
	f.Fuzz(func(_ *testing.T, b []byte, protocol, name string) { counter(b, protocol, name) })
}
