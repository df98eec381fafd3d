// SPDX-License-Identifier: Apache-2.0

package requests

import (
	"strconv"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/bpf/requests"
)

// servers is a probe that returns given values.
type servers struct {
	list    []requests.Server
	dropped []uint32
	lost    requests.Lost
}

func (p *servers) Read(yield func(*requests.Server) bool) error {
	for i := range p.list {
		if !yield(&p.list[i]) {
			p.dropped = append(p.dropped, p.list[i].Tgid)
		}
	}
	return nil
}

func (p *servers) Lost() requests.Lost { return p.lost }

// alive is an identity that knows some processes.
type alive struct {
	sampler.Identity
	index *observe.Index
	pids  map[int]bool
}

func (a alive) Process(pid int, start uint64) (observe.ID, bool) {
	if !a.pids[pid] {
		return observe.None, false
	}
	return a.index.ID(observe.Entity{Kind: observe.Process, ID: strconv.Itoa(pid) + ":" + strconv.FormatUint(start, 10)}), true
}

// server returns one that answered n requests in the fifth bucket, 1 ms each.
func server(tgid uint32, n uint64) requests.Server {
	s := requests.Server{Tgid: tgid, Start: 1_230_000_000}
	s.Answered.Count = make([]uint64, len(catalog.RequestBounds)+1)
	s.Answered.Sum = make([]uint64, len(catalog.RequestBounds)+1)
	s.Answered.Count[5], s.Answered.Sum[5] = n, n*1e6
	return s
}

// TestBounds checks that the catalogue has the buckets of the probe.
func TestBounds(t *testing.T) {
	bounds := requests.Bounds()
	if len(bounds) != len(catalog.RequestBounds) {
		t.Fatalf("%d bounds, want %d", len(bounds), len(catalog.RequestBounds))
	}
	for i, ns := range bounds {
		if d := float64(ns)/1e9 - catalog.RequestBounds[i]; d < 0 || d > 1e-9 {
			t.Errorf("bound %d = %d ns, want %g s", i, ns, catalog.RequestBounds[i])
		}
	}
}

// TestPortsAreAddedUp checks a process with two listeners, and one that has ended.
func TestPortsAreAddedUp(t *testing.T) {
	x := observe.NewIndex(100)
	api, health := server(42, 7), server(42, 3)
	api.Active, api.Unread, api.Unanswered, api.Oldest = 2, 1, 4, 3*time.Second
	health.Active, health.Oldest = 1, time.Second
	p := &servers{list: []requests.Server{api, health, server(43, 1)}}
	r := newReader(&sampler.Host{Index: x, Identity: alive{index: x, pids: map[int]bool{42: true}}}, p)
	s := observe.NewSnapshot(x)
	if err := r.Read(s); err != nil {
		t.Fatal(err)
	}
	id, ok := x.Find(observe.Entity{Kind: observe.Process, ID: "42:123"})
	if !ok {
		t.Fatal("the process is not in the index")
	}
	for m, want := range map[*observe.Metric]float64{
		catalog.RequestArrivals: 17, catalog.RequestActive: 3, catalog.RequestOldest: 3, catalog.RequestUnread: 1,
	} {
		if got, _ := s.Value(m, id); got != want {
			t.Errorf("%s = %v, want %v", m.Key(), got, want)
		}
	}
	if count, sum := s.Hist(catalog.RequestDuration, id).Total(); count != 10 || sum != 0.01 {
		t.Errorf("%v answers in %v s, want 10 in 0.01", count, sum)
	}
	if len(p.dropped) != 1 || p.dropped[0] != 43 {
		t.Errorf("dropped %v, want the process that has ended", p.dropped)
	}
}

// TestArrivalsNeverDecrease checks a request that was counted as in flight and as
// answered, because it was answered during the reading.
func TestArrivalsNeverDecrease(t *testing.T) {
	x := observe.NewIndex(100)
	p := &servers{list: []requests.Server{server(42, 8)}, lost: requests.Lost{Servers: 1}}
	p.list[0].Active = 1
	r := newReader(&sampler.Host{Index: x, Identity: alive{index: x, pids: map[int]bool{42: true}}}, p)
	s := observe.NewSnapshot(x)
	for _, active := range []uint32{1, 0} {
		s.Reset()
		p.list[0].Active = active
		if err := r.Read(s); err != nil {
			t.Fatal(err)
		}
		for id, n := range s.Values(catalog.RequestArrivals) {
			if n != 9 {
				t.Errorf("arrivals of %v = %v, want 9", id, n)
			}
		}
		if want := int(active); len(s.Gaps) != want { // the loss is reported once
			t.Errorf("gaps = %v, want %d", s.Gaps, want)
		}
	}
}
