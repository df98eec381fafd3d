// SPDX-License-Identifier: Apache-2.0

package upstreams

import (
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/bpf/requests"
)

// calls is a probe that returns given values.
type calls struct {
	list    []requests.Upstream
	dropped int
	opaque  map[requests.Opaque]int
	reads   []requests.Read
	below   map[uint32]uint64
}

func (p *calls) ReadUpstreams(yield func(*requests.Upstream) bool) error {
	p.dropped = 0
	for i := range p.list {
		if !yield(&p.list[i]) {
			p.dropped++
		}
	}
	return nil
}

func (p *calls) ReadReads(yield func(requests.Read)) error {
	for _, v := range p.reads {
		yield(v)
	}
	p.reads = nil
	return nil
}

func (p *calls) Sample(upstream uint32, below uint64) error {
	if p.below == nil {
		p.below = make(map[uint32]uint64)
	}
	p.below[upstream] = below
	return nil
}

func (p *calls) Opaque() map[requests.Opaque]int { return p.opaque }
func (p *calls) Lost() requests.Lost             { return requests.Lost{} }

// alive is an identity that knows one process.
type alive struct {
	sampler.Identity
	index *observe.Index
}

const pid = 42

func (a alive) Process(n int, start uint64) (observe.ID, bool) {
	if n != pid {
		return observe.None, false
	}
	return a.index.ID(observe.Entity{Kind: observe.Process, ID: strconv.Itoa(n) + ":" + strconv.FormatUint(start, 10)}), true
}

func (a alive) Current(n int) (observe.ID, bool) { return a.Process(n, 1) }

var database = netip.MustParseAddrPort("10.0.0.9:5432")

func upstream(tgid uint32) requests.Upstream {
	u := requests.Upstream{Tgid: tgid, Start: uint64(userTick), Address: database, Protocol: requests.Postgres, Confirmed: true,
		Busy: 2 * time.Second, Used: 3 * time.Second, Idle: time.Second, Uses: 7, Active: 1, Connections: 5, InUse: 4, RTT: time.Millisecond}
	u.Answered.Count, u.Answered.Sum = make([]uint64, len(catalog.RequestBounds)+1), make([]uint64, len(catalog.RequestBounds)+1)
	u.Answered.Count[5], u.Answered.Sum[5] = 3, 3e6
	return u
}

func read(t *testing.T, r *reader, x *observe.Index) *observe.Snapshot {
	t.Helper()
	s := observe.NewSnapshot(x)
	if err := r.Read(s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestClient checks the metrics of a process that calls a database, one that has ended,
// and one whose protocol is not confirmed.
func TestClient(t *testing.T) {
	x := observe.NewIndex(100)
	guessed := upstream(pid)
	guessed.Address, guessed.Confirmed = netip.MustParseAddrPort("10.0.0.9:80"), false
	p := &calls{list: []requests.Upstream{upstream(pid), upstream(pid + 1), guessed}}
	s := read(t, newReader(&sampler.Host{Index: x, Identity: alive{index: x}}, p, time.Now), x)
	id, ok := x.Find(observe.Entity{Kind: observe.Client, ID: "42:1/10.0.0.9:5432"})
	if !ok || p.dropped != 1 {
		t.Fatalf("the client is known: %v, %d dropped; want true, the one that has ended", ok, p.dropped)
	}
	if system := x.Attr(id, catalog.AttrDatabase); system != "postgresql" {
		t.Errorf("system %q, want postgresql", system)
	}
	for m, want := range map[*observe.Metric]float64{
		catalog.CallBusy: 2, catalog.CallActive: 1, catalog.ClientConnections: 5, catalog.ClientUsed: 4,
		catalog.ClientUsedTime: 3, catalog.ClientIdleTime: 1, catalog.ClientUses: 7, catalog.ClientRTT: 0.001,
	} {
		if v, _ := s.Value(m, id); v != want {
			t.Errorf("%s = %g, want %g", m.Name, v, want)
		}
	}
	n := 0
	for _, h := range s.Hists(catalog.CallDuration) {
		n++
		if count, sum := h.Total(); count != 3 || sum != 0.003 {
			t.Errorf("%g calls in %g s, want 3 in 0.003", count, sum)
		}
	}
	if n != 1 {
		t.Errorf("%d clients, want 1", n)
	}
}

// TestUnreadable checks that uses are not reported if some could not be seen.
func TestUnreadable(t *testing.T) {
	x := observe.NewIndex(100)
	u := upstream(pid)
	u.Unreadable = 1
	s := read(t, newReader(&sampler.Host{Index: x, Identity: alive{index: x}}, &calls{list: []requests.Upstream{u}}, time.Now), x)
	for id := range s.Values(catalog.ClientUsedTime) {
		t.Errorf("%s has a time in use, want none", x.Entity(id).ID)
	}
	if len(s.Gaps) != 1 || s.Gaps[0].Process != "42:1" {
		t.Errorf("gaps %v, want one of process 42", s.Gaps)
	}
}

// TestOpaque checks the gap for a connection of which nothing is known.
func TestOpaque(t *testing.T) {
	x := observe.NewIndex(100)
	p := &calls{opaque: map[requests.Opaque]int{{Tgid: pid, Address: database}: 2, {Tgid: pid + 1, Address: database}: 1}}
	s := read(t, newReader(&sampler.Host{Index: x, Identity: alive{index: x}}, p, time.Now), x)
	if len(s.Gaps) != 1 || s.Gaps[0].Process != "42:1" {
		t.Errorf("gaps %v, want one of process 42", s.Gaps)
	}
}

// TestStatements checks that statements that repeat are followed, that each has a number
// and not its hash, and that a new one replaces one that is not used.
func TestStatements(t *testing.T) {
	x := observe.NewIndex(100)
	u := upstream(pid)
	p := &calls{list: []requests.Upstream{u}}
	r := newReader(&sampler.Host{Index: x, Identity: alive{index: x}}, p, time.Now)
	repeats := func(hash, n uint64) *observe.Snapshot {
		p.list[0].Statements = []requests.Statement{{Hash: hash, Calls: n, Time: time.Duration(n) * time.Second}, {Hash: 99, Calls: 1}}
		return read(t, r, x)
	}
	repeats(77, 100)
	s := repeats(77, 50)
	id, ok := x.Find(observe.Entity{Kind: observe.Statement, ID: "42:1/10.0.0.9:5432/1"})
	if !ok {
		t.Fatal("the statement is not known")
	}
	for m, want := range map[*observe.Metric]float64{catalog.StatementCalls: 150, catalog.StatementTime: 150} {
		if v, _ := s.Value(m, id); v != want {
			t.Errorf("%s = %g, want %g", m.Name, v, want)
		}
	}
	for hash := range uint64(mostStatements) {
		repeats(100+hash, 50)
	}
	if n := len(r.clients[key{0, "10.0.0.9:5432"}].statements); n != mostStatements {
		t.Errorf("%d statements, want %d", n, mostStatements)
	}
	for range unused {
		repeats(101, 50)
	}
	if s = repeats(200, 50); len(s.Ended) != 1 {
		t.Errorf("%d statements ended, want one that is not used", len(s.Ended))
	}
}

// TestForgotten checks that an address is dropped that has had no connection for long, and
// that its entity ends.
func TestForgotten(t *testing.T) {
	x := observe.NewIndex(100)
	u := upstream(pid)
	u.Connections = 0
	p := &calls{list: []requests.Upstream{u}}
	r := newReader(&sampler.Host{Index: x, Identity: alive{index: x}}, p, time.Now)
	for i := range forgotten {
		if s := read(t, r, x); p.dropped != 0 || len(s.Ended) != 0 {
			t.Fatalf("dropped at reading %d", i)
		}
	}
	if s := read(t, r, x); p.dropped != 1 || len(s.Ended) != 1 {
		t.Errorf("%d dropped, %d ended; want 1, 1", p.dropped, len(s.Ended))
	}
}
