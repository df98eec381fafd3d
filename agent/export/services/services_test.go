// SPDX-License-Identifier: Apache-2.0

package services

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/ledger"
	"github.com/headroom-project/headroom/agent/observe"
)

// A host has snapshots written by the test, which pass through a real Differ and a real
// ledger.
type host struct {
	x      *observe.Index
	d      *observe.Differ
	ledger *ledger.Ledger
	book   *Book
	second int
}

func newHost() *host {
	h := &host{x: observe.NewIndex(observe.DefaultLimit), ledger: ledger.New()}
	h.d, h.book = observe.NewDiffer(h.x), New(h.ledger)
	return h
}

// run adds a snapshot for each of the given seconds, and takes a list of services at
// the end.
func (h *host) run(seconds int, fill func(s *observe.Snapshot, second float64)) *List {
	for range seconds {
		s := observe.NewSnapshot(h.x)
		s.Time, s.Monotonic = time.Unix(int64(h.second), 0), time.Duration(h.second)*time.Second
		s.BootTime = s.Monotonic
		fill(s, float64(h.second))
		h.ledger.Add(h.d.Step(s))
		h.second++
	}
	h.book.Take(time.Unix(int64(h.second), 0))
	return h.book.List()
}

func (h *host) add(k observe.EntityKind, id string, parent observe.ID, attrs map[string]string) observe.ID {
	e := h.x.ID(observe.Entity{Kind: k, ID: id})
	info := observe.Info{Attrs: attrs}
	if parent != observe.None {
		info.Parent = h.x.Entity(parent)
	}
	h.x.Describe(e, info)
	return e
}

func (h *host) process(pid int, in observe.ID, program string) observe.ID {
	return h.add(observe.Process, fmt.Sprintf("%d:1", pid), in, map[string]string{catalog.AttrPID: fmt.Sprint(pid), catalog.AttrExecutable: program})
}

func near(t *testing.T, what string, got *float64, want float64) {
	t.Helper()
	if got == nil || math.Abs(*got-want) > 1e-9 {
		t.Errorf("%s = %v, want %v", what, show(got), want)
	}
}

func show(v *float64) any {
	if v == nil {
		return "not known"
	}
	return *v
}

// TestService checks a pod's container with a loop, together with a program in no
// service.
func TestService(t *testing.T) {
	h := newHost()
	pod := h.add(observe.Cgroup, "/kubepods/p", observe.None, map[string]string{catalog.AttrCgroup: "/kubepods/p",
		catalog.AttrPodUID: "1", catalog.AttrPodName: "web-1", catalog.AttrNamespace: "shop"})
	box := h.add(observe.Cgroup, "/kubepods/p/c", pod, map[string]string{catalog.AttrCgroup: "/kubepods/p/c",
		catalog.AttrContainerID: "0123456789abcdef", catalog.AttrContainerName: "api"})
	server, helper := h.process(7, box, "node"), h.process(8, box, "sh")
	loop := h.add(observe.Loop, "7:1/7/9", server, map[string]string{catalog.AttrTID: "7"})
	alone := h.process(9, observe.None, "redis-server")
	load := func(s *observe.Snapshot, second float64) {
		s.Set(catalog.CgroupCPUTime, pod, second*0.75)
		s.Set(catalog.CgroupCPUTime, box, second*0.75)
		s.Set(catalog.CgroupCPULimit, box, 1.5)
		s.Set(catalog.CgroupMemoryUsage, box, 300)
		s.Set(catalog.CgroupMemoryLimit, box, 400)
		s.Set(catalog.ProcessCPU, server, second*0.5)
		s.Set(catalog.ProcessCPU, alone, second*0.25)
		s.Set(catalog.ProcessMemory, server, 100)
		s.Set(catalog.ProcessMemory, helper, 20)
		s.Set(catalog.ProcessMemory, alone, 50)
		s.Set(catalog.ProcessFDs, server, 90)
		s.Set(catalog.ProcessFDLimit, server, 100)
		s.Set(catalog.ProcessFDs, helper, 900)
		s.Set(catalog.LoopBusy, loop, second*0.3)
		s.Set(catalog.LoopWait, loop, second*0.6)
		s.Set(catalog.LongCPU, loop, second*0.2)
		lag := s.Hist(catalog.LoopLag, loop)
		lag.Count[0], lag.Sum[0] = second*98, second*98*0.0005
		lag.Count[28], lag.Sum[28] = second*2, second*2*0.125
	}
	if first := h.run(5, load); first.Services[0].CPU != nil || first.Services[0].Loop != nil {
		t.Errorf("first list = %+v, want no rates: they take two readings", first.Services[0])
	}
	list := h.run(10, load)
	if len(list.Services) != 2 || list.Seconds != 10 || list.Services[0].Name != "api" || list.Services[1].Name != "redis-server" {
		t.Fatalf("list = %+v, want api and redis-server over 10 s; the pod is no service of its own", list)
	}
	api, redis := list.Services[0], list.Services[1]
	if api.Namespace != "shop" || api.Pod != "web-1" || api.Container != "api" || fmt.Sprint(api.Programs) != "[node sh]" {
		t.Errorf("api = %+v", api)
	}
	near(t, "CPU", &api.CPU.Used, 0.75)
	near(t, "CPU limit", api.CPU.Limit, 1.5)
	near(t, "memory", api.Memory.Used, 300)
	near(t, "memory limit", api.Memory.Limit, 400)
	near(t, "resident", api.Memory.Resident, 120)
	near(t, "descriptors of who is nearest to the limit", &api.FDs.Used, 90)
	near(t, "descriptor limit", api.FDs.Limit, 100)
	near(t, "median lag", api.Loop.LagP50, 0.0005)
	near(t, "p99 lag", api.Loop.LagP99, 0.125)
	near(t, "utilisation", api.Loop.Utilisation, 1.0/3)
	near(t, "stalls on the CPU", &api.Loop.Stalls.CPU, 0.2/0.9)
	near(t, "redis CPU", &redis.CPU.Used, 0.25)
	if redis.Loop != nil || redis.CPU.Limit != nil || redis.FDs != nil {
		t.Errorf("redis = %+v, want nothing of what is not known", redis)
	}
	if n := len(api.History.LagP99); n != 2 || api.History.LagP99[0] != nil {
		t.Errorf("history of lag = %v, want two readings, the first not known", api.History.LagP99)
	}
}

// TestProgramsAreServices checks that three servers of one interpreter are three services,
// and the processes of one server one.
func TestProgramsAreServices(t *testing.T) {
	h := newHost()
	var all []observe.ID
	for i, attrs := range []map[string]string{
		{catalog.AttrExecutable: "node", catalog.AttrCommand: "node server.js", catalog.AttrProgram: "node shop/server.js"},
		{catalog.AttrExecutable: "node", catalog.AttrCommand: "node server.js", catalog.AttrProgram: "node bank/server.js"},
		{catalog.AttrExecutable: "python3.11", catalog.AttrCommand: "python3 -m http.server"},
		{catalog.AttrExecutable: "nginx", catalog.AttrCommand: "nginx: master process"},
		{catalog.AttrExecutable: "nginx", catalog.AttrCommand: "nginx: worker process"},
	} {
		all = append(all, h.add(observe.Process, fmt.Sprintf("%d:1", i), observe.None, attrs))
	}
	list := h.run(1, func(s *observe.Snapshot, _ float64) {
		for _, p := range all {
			s.Set(catalog.ProcessMemory, p, 100)
		}
	})
	var names []string
	for _, s := range list.Services {
		names = append(names, fmt.Sprintf("%s %g", s.Name, *s.Memory.Resident))
	}
	want := []string{"nginx 200", "node bank/server.js 100", "node shop/server.js 100", "python3 -m http.server 100"}
	if !slices.Equal(names, want) {
		t.Errorf("services = %q, want %q", names, want)
	}
}

// TestQuietLoopHasNoLag checks that the lag of a loop without ticks is not known, and
// that a tick in progress is reported.
func TestQuietLoopHasNoLag(t *testing.T) {
	h := newHost()
	server := h.process(7, observe.None, "node")
	loop := h.add(observe.Loop, "7:1/7/9", server, nil)
	list := h.run(1, nothing)
	for range 2 {
		list = h.run(10, func(s *observe.Snapshot, _ float64) {
			s.Set(catalog.ProcessMemory, server, 100)
			s.Hist(catalog.LoopLag, loop)
			s.Set(catalog.CurrentTick, loop, 3)
		})
	}
	l := list.Services[0].Loop
	if l == nil || l.LagP50 != nil || l.LagP99 != nil || l.Utilisation != nil || l.Stalls != nil {
		t.Fatalf("loop = %+v, want one of which nothing is known", l)
	}
	near(t, "tick in progress", l.CurrentTick, 3)
}

func nothing(*observe.Snapshot, float64) {}

// TestBounds checks that the active ones of many services are reported, and none that
// was active long ago.
func TestBounds(t *testing.T) {
	h := newHost()
	const many = maxServices + 50
	var all [many]observe.ID
	for i := range all {
		all[i] = h.process(100+i, observe.None, fmt.Sprintf("p%03d", i))
	}
	var list *List
	for range maxHistory + 5 {
		list = h.run(1, func(s *observe.Snapshot, second float64) {
			for i, id := range all {
				s.Set(catalog.ProcessCPU, id, second*float64(i)/many)
				s.Set(catalog.ProcessMemory, id, 1)
			}
		})
	}
	if len(list.Services) != maxServices+1 || list.More != 50 || list.Services[0].Name != "p050" {
		t.Errorf("%d services from %s on and %d more, want %d, p050 and 50", len(list.Services), list.Services[0].Name, list.More, maxServices+1)
	}
	rest := list.Services[maxServices]
	if rest.Name != ledger.Other || len(rest.Programs) != maxPrograms {
		t.Errorf("the last service is %+v, want %s", rest, ledger.Other)
	}
	near(t, "CPU of the others", &rest.CPU.Used, 49*50/2.0/many)
	near(t, "memory of the others", rest.Memory.Resident, 50)
	if n := len(list.Services[0].History.CPU); n != maxHistory {
		t.Errorf("history of %d readings, want %d", n, maxHistory)
	}
	gone := h.run(200, nothing)
	if len(gone.Services) != 0 || len(h.book.history) != 0 {
		t.Errorf("%d services and %d histories of what has gone", len(gone.Services), len(h.book.history))
	}
}

// TestRestartIsNoRate checks that a counter that was reset has no rate for the time in
// between.
func TestRestartIsNoRate(t *testing.T) {
	h := newHost()
	p := h.process(7, observe.None, "node")
	fill := func(s *observe.Snapshot, second float64) {
		s.Set(catalog.ProcessCPU, p, second)
		s.Set(catalog.ProcessMemory, p, 1)
	}
	h.run(5, fill)
	for where := range h.book.totals {
		h.book.totals[where] = 1000 // a series that the ledger dropped and created again
	}
	list := h.run(5, fill)
	if n := len(list.Services); n != 1 {
		t.Fatalf("%d services, want 1", n)
	}
	if cpu := list.Services[0].CPU; cpu != nil {
		t.Errorf("CPU = %v, want not known", cpu.Used)
	}
}

// BenchmarkTake reads a full node: 250 containers, each with four processes and a loop.
func BenchmarkTake(b *testing.B) {
	h := newHost()
	var processes, loops []observe.ID
	for c := range 250 {
		box := h.add(observe.Cgroup, fmt.Sprintf("/docker/%d", c), observe.None, map[string]string{catalog.AttrContainerID: fmt.Sprintf("%064d", c), catalog.AttrContainerName: fmt.Sprint("c", c)})
		for p := range 4 {
			processes = append(processes, h.process(1000+4*c+p, box, "node"))
		}
		loops = append(loops, h.add(observe.Loop, fmt.Sprintf("%d:1/9/9", 1000+4*c), processes[4*c], nil))
	}
	fill := func(s *observe.Snapshot, second float64) {
		for _, p := range processes {
			s.Set(catalog.ProcessCPU, p, second)
			s.Set(catalog.ProcessMemory, p, 1)
		}
		for _, l := range loops {
			s.Hist(catalog.LoopLag, l).Count[3] = second
			s.Set(catalog.LoopBusy, l, second/2)
			s.Set(catalog.LoopWait, l, second/2)
		}
	}
	h.run(2, fill)
	h.run(2, fill)
	b.ReportAllocs()
	for b.Loop() {
		h.book.Take(time.Unix(int64(h.second), 0))
	}
}
