// SPDX-License-Identifier: Apache-2.0

package upstreams

import (
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/bpf/requests"
)

// mix spreads the numbers of keys over 64 bits: the finalizer of SplitMix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// A source is a client whose reads are made by a test, and its reader.
type source struct {
	*calls
	r   *reader
	x   *observe.Index
	now time.Time
	at  time.Duration
}

func newSource() *source {
	s := &source{calls: &calls{list: []requests.Upstream{upstream(pid)}}, x: observe.NewIndex(100), now: time.Unix(1e9, 0)}
	s.list[0].Number = 3
	s.r = newReader(&sampler.Host{Index: s.x, Identity: alive{index: s.x}}, s.calls, func() time.Time { return s.now })
	return s
}

// reads adds reads of keys, each of 20 ms and 500 bytes, 10 ms after the last.
func (s *source) reads(version uint64, keys ...uint64) {
	for _, key := range keys {
		s.at += 10 * time.Millisecond
		s.calls.reads = append(s.calls.reads, requests.Read{Upstream: 3, Key: mix(key), Version: version, At: s.at, Time: 20 * time.Millisecond, Bytes: 500})
		s.list[0].Reads.Calls++
		s.list[0].Reads.Time += 20 * time.Millisecond
	}
}

func (s *source) next(t *testing.T) *observe.Snapshot {
	t.Helper()
	s.now = s.now.Add(time.Second)
	return read(t, s.r, s.x)
}

// begin makes the reader follow the client.
func (s *source) begin(t *testing.T) {
	t.Helper()
	s.list[0].Reads.Calls += fewReads
	if s.next(t); s.below[3] != math.MaxUint64 {
		t.Fatalf("sample below %d, want all", s.below[3])
	}
}

// TestReads checks the numbers of reads that repeat, and of those that a write made stale.
func TestReads(t *testing.T) {
	s := newSource()
	s.begin(t)
	s.reads(1, 1, 2, 3, 1, 2)
	s.reads(2, 1, 1, 3)
	snap := s.next(t)
	id, _ := s.x.Find(observe.Entity{Kind: observe.Client, ID: "42:1/10.0.0.9:5432"})
	for m, want := range map[*observe.Metric]float64{catalog.ReadCalls: 8 + fewReads, catalog.ReadFollowed: 8, catalog.ReadFresh: 3, catalog.ReadStale: 2, catalog.ReadBytes: 500} {
		if v, _ := snap.Value(m, id); v != want {
			t.Errorf("%s = %g, want %g", m.Name, v, want)
		}
	}
	for m, want := range map[*observe.Metric]float64{catalog.ReadReuse: 3, catalog.ReadReuseTime: 0.06, catalog.ReadFirst: 5, catalog.ReadSeen: 8, catalog.RepeatInterval: 3} {
		for _, h := range snap.Hists(m) {
			if n, _ := h.Total(); math.Abs(n-want) > 1e-9 {
				t.Errorf("%s has %g, want %g", m.Name, n, want)
			}
		}
	}
	for _, h := range snap.Hists(catalog.RepeatInterval) {
		if q := h.Quantile(1); math.Abs(q-0.03) > 1e-9 {
			t.Errorf("longest interval %g s, want 0.03", q)
		}
	}
}

// TestLostReads checks that all begins again after a loss, with a smaller sample.
func TestLostReads(t *testing.T) {
	s := newSource()
	s.begin(t)
	s.reads(1, 1, 2)
	s.next(t)
	s.list[0].Reads.Lost = 2 * maxReads
	s.reads(1, 1, 2)
	snap := s.next(t)
	if fresh := valueOf(snap, catalog.ReadFresh); s.below[3] >= math.MaxUint64/2 {
		t.Errorf("sample below %d, want a part of all; %g repeat", s.below[3], fresh)
	}
	s.reads(1, 1, 2)
	before := valueOf(snap, catalog.ReadFresh)
	if fresh := valueOf(s.next(t), catalog.ReadFresh); fresh != before {
		t.Errorf("%g reads repeat after the loss, want none", fresh-before)
	}
}

func valueOf(s *observe.Snapshot, m *observe.Metric) (v float64) {
	for _, v = range s.Values(m) {
	}
	return v
}

// TestManyReads checks the bounds: of the memory of a client, and of the number of clients.
func TestManyReads(t *testing.T) {
	s := newSource()
	s.begin(t)
	for i := range uint64(20) {
		for key := range uint64(4000) {
			s.reads(1, i*4000+key)
		}
		s.next(t)
		c := s.r.clients[key{0, "10.0.0.9:5432"}].curve
		if len(c.keys) > mostKeys || s.below[3] != c.Threshold() {
			t.Fatalf("%d keys, sample below %d; want at most %d, below %d", len(c.keys), s.below[3], mostKeys, c.Threshold())
		}
	}
	for number := range uint32(maxCurves) {
		u := upstream(pid)
		u.Address, u.Number = addressAt(number), 10+number
		u.Reads.Calls = fewReads
		s.list = append(s.list, u)
	}
	if snap := s.next(t); s.r.followed != maxCurves || len(snap.Gaps) != 1 {
		t.Errorf("%d followed, gaps %v; want %d and a gap", s.r.followed, snap.Gaps, maxCurves)
	}
	s.list = s.list[:1]
	if s.next(t); s.r.followed != 1 || s.below[10] != 0 {
		t.Errorf("%d followed, sample below %d of one that ended; want 1, 0", s.r.followed, s.below[10])
	}
}

func addressAt(n uint32) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 1, byte(n)}), 5432)
}
