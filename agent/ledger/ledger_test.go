// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// A host has snapshots written by the test, which pass through a real Differ into a
// ledger.
type host struct {
	x      *observe.Index
	d      *observe.Differ
	ledger *Ledger
	second int
}

func newHost() *host {
	x := observe.NewIndex(observe.DefaultLimit)
	return &host{x: x, d: observe.NewDiffer(x), ledger: New()}
}

// step adds the snapshot that fill writes, the given seconds after the previous one.
func (h *host) step(seconds int, fill func(s *observe.Snapshot)) {
	h.second += seconds
	s := observe.NewSnapshot(h.x)
	s.Time = time.Unix(int64(h.second), 0)
	s.Monotonic = time.Duration(h.second) * time.Second
	s.BootTime = s.Monotonic
	fill(s)
	h.ledger.Add(h.d.Step(s))
}

func (h *host) container(path, id string) observe.ID {
	c := h.x.ID(observe.Entity{Kind: observe.Cgroup, ID: path})
	attrs := map[string]string{catalog.AttrCgroup: path}
	if id != "" {
		attrs[catalog.AttrContainerID] = id
	}
	parent := observe.Entity{Kind: observe.Cgroup, ID: path[:strings.LastIndex(path, "/")]}
	h.x.ID(parent)
	h.x.Describe(c, observe.Info{Parent: parent, Attrs: attrs})
	return c
}

func (h *host) process(pid int, in observe.ID, program string) observe.ID {
	p := h.x.ID(observe.Entity{Kind: observe.Process, ID: fmt.Sprintf("%d:1", pid)})
	h.x.Describe(p, observe.Info{Parent: h.x.Entity(in), Attrs: map[string]string{catalog.AttrPID: fmt.Sprint(pid), catalog.AttrExecutable: program}})
	return p
}

// series returns the values of m by their joined labels.
func (h *host) series(m *observe.Metric) map[string]float64 {
	all := make(map[string]float64)
	h.ledger.Read(func(s Series) {
		if s.Metric == m {
			all[strings.Join(s.Labels, "|")] = s.Value
		}
	})
	return all
}

func expect(t *testing.T, h *host, m *observe.Metric, labels string, want float64) {
	t.Helper()
	got, ok := h.series(m)[labels]
	if !ok || got != want {
		t.Errorf("%s{%s} = %v (there: %v), want %v; all: %v", m.Key(), labels, got, ok, want, h.series(m))
	}
}

func absent(t *testing.T, h *host, m *observe.Metric, labels string) {
	t.Helper()
	if got, ok := h.series(m)[labels]; ok {
		t.Errorf("%s{%s} = %v, want none", m.Key(), labels, got)
	}
}

func TestTotalKeepsWhatAnEndedProcessUsed(t *testing.T) {
	h := newHost()
	c := h.container("/docker/api", "api")
	a, b := h.process(1, c, "node"), h.process(2, c, "node")
	h.step(0, func(s *observe.Snapshot) { s.Set(catalog.ProcessCPU, a, 10); s.Set(catalog.ProcessCPU, b, 20) })
	h.step(1, func(s *observe.Snapshot) {
		s.Set(catalog.ProcessCPU, a, 13)
		s.Set(catalog.ProcessCPU, b, 21)
		s.Set(catalog.ProcessMemory, a, 100)
		s.Set(catalog.ProcessMemory, b, 50)
	})
	expect(t, h, catalog.ProcessCPU, "||api||node", 4)
	expect(t, h, catalog.ProcessMemory, "||api||node", 150)
	h.step(1, func(s *observe.Snapshot) { s.End(a, "exited"); s.Set(catalog.ProcessCPU, b, 21.5) })
	expect(t, h, catalog.ProcessCPU, "||api||node", 4.5)
	expect(t, h, catalog.ProcessMemory, "||api||node", 50)
}

func TestRestartOfANamedContainerGoesOn(t *testing.T) {
	h := newHost()
	for n, id := range []string{"/kubepods/podX/1", "/kubepods/podX/2"} {
		c := h.container(id, fmt.Sprint(n))
		h.x.Describe(c, observe.Info{Attrs: map[string]string{catalog.AttrContainerID: fmt.Sprint(n), catalog.AttrContainerName: "api", catalog.AttrPodName: "shop-1", catalog.AttrNamespace: "shop"}})
		h.step(1, func(s *observe.Snapshot) { s.Set(catalog.CgroupCPUTime, c, 5) })
		h.step(1, func(s *observe.Snapshot) { s.Set(catalog.CgroupCPUTime, c, 7) })
		h.step(1, func(s *observe.Snapshot) { s.End(c, "gone") })
	}
	expect(t, h, catalog.CgroupCPUTime, "shop|shop-1|api||", 4)
}

// TestLateName checks names if a pod is known before it runs, and if its container is
// found before the pod reports the container's ID.
func TestLateName(t *testing.T) {
	h := newHost()
	pod, c := h.container("/kubepods/podX", ""), h.container("/kubepods/podX/1", "1")
	name := func(id observe.ID, more ...string) {
		attrs := map[string]string{catalog.AttrPodName: "shop-1", catalog.AttrNamespace: "shop"}
		for i := 0; i < len(more); i += 2 {
			attrs[more[i]] = more[i+1]
		}
		h.x.Describe(id, observe.Info{Parent: h.x.Info(id).Parent, Attrs: attrs})
	}
	name(pod)
	name(c, catalog.AttrContainerID, "1")
	server := h.process(42, c, "node")
	h.step(1, func(s *observe.Snapshot) {
		s.Set(catalog.ProcessCPU, server, 5)
		s.Set(catalog.CgroupCPUTime, c, 5)
		s.Set(catalog.ProcessMemory, server, 100)
	})
	h.step(1, func(s *observe.Snapshot) {
		s.Set(catalog.ProcessCPU, server, 6)
		s.Set(catalog.CgroupCPUTime, c, 6)
	})
	expect(t, h, catalog.ProcessCPU, "shop|shop-1|||node", 1)
	if all := h.series(catalog.CgroupCPUTime); len(all) != 0 {
		t.Errorf("a container without a name has series: %v", all)
	}
	name(c, catalog.AttrContainerID, "1", catalog.AttrContainerName, "api")
	h.step(1, func(s *observe.Snapshot) {
		s.Set(catalog.ProcessCPU, server, 8)
		s.Set(catalog.CgroupCPUTime, c, 8)
	})
	expect(t, h, catalog.ProcessCPU, "shop|shop-1|api||node", 2)
	expect(t, h, catalog.CgroupCPUTime, "shop|shop-1|api||", 2)
	expect(t, h, catalog.ProcessMemory, "shop|shop-1|api||node", 100) // not read again in the meantime
	if all := h.series(catalog.ProcessMemory); len(all) != 1 {
		t.Errorf("one process has several levels: %v", all)
	}
}

func TestCgroupInsideOfAContainerIsNotCountedTwice(t *testing.T) {
	h := newHost()
	c := h.container("/docker/api", "api")
	inner := h.container("/docker/api/init", "")
	for v := range 2 {
		h.step(1, func(s *observe.Snapshot) {
			for _, id := range []observe.ID{c, inner} {
				s.Set(catalog.CgroupCPUTime, id, float64(v))
				s.Set(catalog.CgroupOOMKills, id, float64(v))
			}
		})
	}
	expect(t, h, catalog.CgroupCPUTime, "||api||", 1)
	// OOM kills are counted for one cgroup without its descendants: the inner cgroup's
	// are those of the container.
	expect(t, h, catalog.CgroupOOMKills, "||api||", 2)
	if n := len(h.series(catalog.CgroupCPUTime)); n != 1 {
		t.Errorf("%d series of %s, want 1", n, catalog.CgroupCPUTime.Key())
	}
}

func TestLimitsAreNotAddedUp(t *testing.T) {
	h := newHost()
	c := h.container("/docker/api", "api")
	a, b := h.process(1, c, "node"), h.process(2, c, "node")
	h.step(1, func(s *observe.Snapshot) {
		s.Set(catalog.ProcessFDs, a, 900)
		s.Set(catalog.ProcessFDs, b, 10)
		s.Set(catalog.ProcessFDLimit, a, 1024)
		s.Set(catalog.ProcessFDLimit, b, 4096)
	})
	expect(t, h, catalog.ProcessFDs, "||api||node", 900)
	expect(t, h, catalog.ProcessFDLimit, "||api||node", 1024)
}

func TestTickInProgressVanishesWhenItIsOver(t *testing.T) {
	h := newHost()
	p := h.process(1, h.container("/docker/api", "api"), "node")
	loop := h.x.ID(observe.Entity{Kind: observe.Loop, ID: "1:1/1"})
	h.x.Describe(loop, observe.Info{Parent: h.x.Entity(p)})
	h.step(1, func(s *observe.Snapshot) { s.Set(catalog.CurrentTick, loop, 2); s.Set(catalog.ProcessFDLimit, p, 1024) })
	expect(t, h, catalog.CurrentTick, "||api||node", 2)
	h.step(4, func(*observe.Snapshot) {})
	absent(t, h, catalog.CurrentTick, "||api||node")
	expect(t, h, catalog.ProcessFDLimit, "||api||node", 1024) // read once a minute
}

func TestSeriesOfWhatIsGoneEnd(t *testing.T) {
	h := newHost()
	c := h.container("/docker/api", "api")
	h.step(0, func(s *observe.Snapshot) { s.Set(catalog.CgroupCPUTime, c, 0) })
	h.step(1, func(s *observe.Snapshot) { s.Set(catalog.CgroupCPUTime, c, 1); s.End(c, "gone") })
	h.step(forgetGroup-1, func(*observe.Snapshot) {})
	expect(t, h, catalog.CgroupCPUTime, "||api||", 1)
	h.step(sweepEach+2, func(*observe.Snapshot) {})
	absent(t, h, catalog.CgroupCPUTime, "||api||")
}

func TestPairsAreNamedByBothSides(t *testing.T) {
	h := newHost()
	victim := h.process(1, h.container("/docker/api", "api"), "node")
	culprit := h.process(2, h.container("/docker/batch", "batch"), "ffmpeg")
	h.step(0, func(*observe.Snapshot) {})
	h.step(1, func(s *observe.Snapshot) { s.SetPair(catalog.WaitedFor, victim, culprit, 0.5) })
	expect(t, h, catalog.WaitedFor, "||api||node|batch", 0.5)
}

func TestAnotherIndex(t *testing.T) {
	h := newHost()
	for range 2 {
		a := h.process(1, h.container("/docker/api", "api"), "node")
		h.step(1, func(s *observe.Snapshot) { s.Set(catalog.ProcessCPU, a, 1); s.Set(catalog.ProcessMemory, a, 7) })
		h.step(1, func(s *observe.Snapshot) { s.Set(catalog.ProcessCPU, a, 3); s.Set(catalog.ProcessMemory, a, 7) })
		h.x = observe.NewIndex(observe.DefaultLimit)
		h.x.ID(observe.Entity{Kind: observe.Node, ID: catalog.NodeID}) // all IDs change
		h.d = observe.NewDiffer(h.x)
	}
	expect(t, h, catalog.ProcessCPU, "||api||node", 4)
	expect(t, h, catalog.ProcessMemory, "||api||node", 7)
}
