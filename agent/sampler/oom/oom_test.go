// SPDX-License-Identifier: Apache-2.0

package oom

import (
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/bpf/oom"
)

// victims is a probe that returns given records.
type victims struct {
	list []oom.Victim
	lost uint64
}

func (v *victims) ReadVictims(yield func(*oom.Victim)) error {
	for i := range v.list {
		yield(&v.list[i])
	}
	v.list = nil
	return nil
}

func (v *victims) Lost() uint64 { return v.lost }

type interner struct {
	sampler.Identity
	index *observe.Index
}

func (i interner) Cgroup(path string) observe.ID {
	id := i.index.ID(observe.Entity{Kind: observe.Cgroup, ID: path})
	i.index.Describe(id, observe.Info{Attrs: map[string]string{catalog.AttrContainerID: "8f6a"}})
	return id
}

func newReader(list ...oom.Victim) (*reader, *observe.Snapshot) {
	x := observe.NewIndex(100)
	r := &reader{probe: &victims{list: list}, host: &sampler.Host{Index: x, Identity: interner{index: x}}}
	return r, observe.NewSnapshot(x)
}

// TestKnownVictim checks a process that was described while it was alive, and whose end
// another sampler reports.
func TestKnownVictim(t *testing.T) {
	r, s := newReader(oom.Victim{Pid: 42, Start: 1_234_567_890, Comm: "node", Anon: 100 << 20, Cgroup: "/pod/c", Limited: true, LimitedBy: "/pod"})
	known := s.Index.ID(observe.Entity{Kind: observe.Process, ID: "42:123"})
	s.Index.Describe(known, observe.Info{Attrs: map[string]string{catalog.AttrCommand: "node server.js"}})
	diff := observe.NewDiffer(s.Index)
	diff.Step(observe.NewSnapshot(s.Index))
	if err := r.Read(s); err != nil {
		t.Fatal(err)
	}
	w := diff.Step(s)
	if got, ok := w.Increase(catalog.ProcessOOMKills, known); !ok || got != 1 {
		t.Errorf("kills = %v %v, want 1 about the known process", got, ok)
	}
	if got, _ := w.Last(catalog.ProcessOOMMemory, known); got != 100<<20 {
		t.Errorf("memory = %v, want 100 MB", got)
	}
	if peers := w.Peers(catalog.OOMLimit, known); len(peers) != 1 || s.Index.Entity(peers[0].ID).ID != "/pod" {
		t.Errorf("limited by %v, want /pod", peers)
	}
	if s.Index.Attr(known, catalog.AttrCommand) != "node server.js" || len(s.Ended) != 0 {
		t.Errorf("described again as %v, ended %v; want neither", s.Index.Info(known), s.Ended)
	}
	s.Reset()
	if err := r.Read(s); err != nil {
		t.Fatal(err)
	}
	for id := range s.Values(catalog.ProcessOOMKills) {
		t.Errorf("%v was reported twice", id)
	}
}

// TestAnotherProgramByThen checks processes that were read a second before they died;
// only the shell ran another program by then.
func TestAnotherProgramByThen(t *testing.T) {
	for _, tt := range []struct{ executable, thread, comm, want string }{
		{"sh", "", "tail", "tail"},
		{"dash", observe.ThreadName("sh", "sh", "dash"), "tail", "tail"},
		{"node", "", "node", "old"},
		{"node", "MainThread", "MainThread", "old"},
		{"python3.11", "", "celery: SECRET", "old"},
		{"python3.11", observe.OwnTitle, "SECRET", "old"},
		{"a-name-of-more-than-15", "", "a-name-of-more-", "old"},
	} {
		r, s := newReader(oom.Victim{Pid: 42, Start: 1e9, Comm: tt.comm})
		known := s.Index.ID(observe.Entity{Kind: observe.Process, ID: "42:100"})
		attrs := map[string]string{catalog.AttrCommand: "old", catalog.AttrExecutable: tt.executable, catalog.AttrOwner: "42:100"}
		if tt.thread != "" {
			attrs[catalog.AttrThreadName] = tt.thread
		}
		s.Index.Describe(known, observe.Info{Attrs: attrs})
		if err := r.Read(s); err != nil {
			t.Fatal(err)
		}
		if got := s.Index.Attr(known, catalog.AttrCommand); got != tt.want || s.Index.Attr(known, catalog.AttrOwner) != "42:100" {
			t.Errorf("%+v: described as %v", tt, s.Index.Info(known).Attrs)
		}
	}
}

// TestUnknownVictim checks a process that existed for less than a second.
func TestUnknownVictim(t *testing.T) {
	r, s := newReader(oom.Victim{Pid: 43, Start: 1e9, Comm: "no\x1bde", Cgroup: "/docker/8f6a"})
	if err := r.Read(s); err != nil {
		t.Fatal(err)
	}
	id, ok := s.Index.Find(observe.Entity{Kind: observe.Process, ID: "43:100"})
	if !ok {
		t.Fatal("the victim is no entity")
	}
	info := s.Index.Info(id)
	if info.Parent.ID != "/docker/8f6a" || info.Attrs[catalog.AttrCommand] != observe.UnknownProgram || info.Attrs[catalog.AttrOwner] != "8f6a" || info.Attrs[catalog.AttrPID] != "43" {
		t.Errorf("described as %+v, want what the kernel recorded", info)
	}
	if len(s.Ended) != 1 || s.Ended[0].ID != id {
		t.Errorf("ended = %v, want the victim", s.Ended)
	}
	for p := range s.Pairs(catalog.OOMLimit) {
		t.Errorf("limited by %v, want the host", p)
	}
}

func TestLost(t *testing.T) {
	r, s := newReader()
	r.probe.(*victims).lost = 3
	for want := 1; want >= 0; want-- {
		if err := r.Read(s); err != nil {
			t.Fatal(err)
		}
		if len(s.Gaps) != want {
			t.Errorf("gaps = %v, want %d", s.Gaps, want)
		}
		s.Reset()
	}
}

func TestNoProbe(t *testing.T) {
	if _, err := Sampler.Open(&sampler.Host{}); err == nil {
		t.Error("opened without eBPF")
	}
}
