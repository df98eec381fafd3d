// SPDX-License-Identifier: Apache-2.0

package facts_test

import (
	"math"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// in runs f as an analyzer over the window of h.
func in(h *handmade.Host, f func(*facts.Pass)) {
	h.Run(&analysis.Analyzer{Name: "test", Run: facts.Run(func(p *facts.Pass) []analysis.Finding {
		f(p)
		return nil
	})})
}

func TestUsableIdle(t *testing.T) {
	h := handmade.New(t, 10, 4)
	h.Idle(3)
	c := h.Add(observe.Cgroup, "/c", observe.None)
	h.Set(catalog.CgroupCPULimit, c, 2)
	h.Set(catalog.CgroupCPUTime, c, 15)
	limited := h.Process("42", "", "limited", c)
	pinned := h.Process("43", "", "pinned", observe.None)
	h.Set(catalog.ProcessAffinity, pinned, 1)
	h.Set(catalog.ProcessCPU, pinned, 9)
	free := h.Process("44", "", "free", observe.None)
	in(h, func(p *facts.Pass) {
		for id, want := range map[observe.ID]float64{limited: 0.5, pinned: 0.1, free: 3} {
			if got, ok := p.UsableIdle(id); !ok || math.Abs(got-want) > 1e-9 {
				t.Errorf("idle cores for %s = %v, want %v", p.Name(id), got, want)
			}
		}
		for id, want := range map[observe.ID]float64{limited: 2, pinned: 1, free: 4} {
			if got := p.EffectiveCPUs(id); got != want {
				t.Errorf("CPUs of %s = %v, want %v", p.Name(id), got, want)
			}
		}
		if u, ok := p.Utilisation(); !ok || math.Abs(u-0.25) > 1e-9 {
			t.Errorf("utilisation = %v, want 0.25", u)
		}
	})
}

func TestNothingIsKnownOfIdleCoresThatNobodyLookedAt(t *testing.T) {
	in(handmade.New(t, 1, 2), func(p *facts.Pass) {
		if _, ok := p.IdleCores(); ok {
			t.Error("idle cores are known, want not")
		}
		if n := p.MoreNodes(); n != nil {
			t.Errorf("nodes = %+v, want none", n)
		}
	})
}

func TestCulpritsAreNamedByOwnerOrCommand(t *testing.T) {
	h := handmade.New(t, 10, 2)
	victim := h.Process("42", "node", "node server.js", observe.None)
	c := h.Add(observe.Cgroup, "/c", observe.None, catalog.AttrContainerName, "batch")
	job := h.Process("50", "", "job", c, catalog.AttrOwner, "batch", catalog.AttrContainerName, "batch")
	h.Pair(catalog.WaitedFor, victim, victim, 1)
	h.Pair(catalog.WaitedFor, victim, job, 3)
	h.Pair(catalog.WaitedFor, victim, h.Process("51", "", "burner", observe.None), 2)
	h.Pair(catalog.WaitedFor, victim, h.Process("52", "", "burner", observe.None), 4)
	in(h, func(p *facts.Pass) {
		culprits := p.Culprits(victim)
		want := []struct {
			name  string
			share float64
			own   bool
		}{{"2 × burner", 0.6, false}, {"container batch", 0.3, false}, {"node server.js (pid 42)", 0.1, true}}
		if len(culprits) != len(want) {
			t.Fatalf("culprits = %+v, want %d", culprits, len(want))
		}
		for i, w := range want {
			c := culprits[i]
			if c.Name != w.name || math.Abs(c.Share-w.share) > 1e-9 || c.Own != w.own {
				t.Errorf("culprit %d = %s %v own %v, want %+v", i, c.Name, c.Share, c.Own, w)
			}
		}
		blame := p.BlameOf(culprits)
		if len(blame) != 4 || math.Abs(blame[0].Share-0.4) > 1e-9 || blame[1].Subject != c {
			t.Errorf("blame = %+v, want the larger burner, the container, the other burner, itself", blame)
		}
	})
}

func TestQuotaDemandIsNotCensoredByTheQuota(t *testing.T) {
	h := handmade.New(t, 10, 2)
	c := h.Add(observe.Cgroup, "/c", observe.None)
	h.Set(catalog.CgroupCPULimit, c, 0.2)
	h.Set(catalog.CgroupCPUPeriod, c, 0.1)
	h.Set(catalog.CgroupPeriods, c, 100)
	h.Set(catalog.CgroupThrottled, c, 50)
	h.Set(catalog.CgroupThrottledS, c, 4)
	h.Set(catalog.CgroupCPUTime, c, 1)
	in(h, func(p *facts.Pass) {
		q, ok := p.Quota(c)
		// 80 ms throttled in each period in which the quota ran out, and its 20 ms.
		if !ok || math.Abs(q.Demand-1) > 1e-9 || math.Abs(q.Average-0.5) > 1e-9 || math.Abs(q.Periods-0.5) > 1e-9 {
			t.Errorf("quota = %+v, want a demand of 1 core, 0.5 on average", q)
		}
	})
}

// TestMemoryRoomIsTheTightest checks that an ancestor's limit is used if it leaves
// less memory, and that page cache counts as free.
func TestMemoryRoomIsTheTightest(t *testing.T) {
	h := handmade.New(t, 10, 2)
	pod := h.Add(observe.Cgroup, "/pod", h.Node())
	box := h.Add(observe.Cgroup, "/pod/box", pod)
	server := h.Process("42", "node", "node server.js", box)
	set := func(id observe.ID, limit, usage, file float64) {
		h.Set(catalog.CgroupMemoryLimit, id, limit)
		h.Set(catalog.CgroupMemoryUsage, id, usage)
		h.Set(catalog.CgroupMemoryFile, id, file)
	}
	set(pod, 1000, 950, 0)
	set(box, 500, 490, 300) // 300 of it page cache: 190 are needed
	in(h, func(p *facts.Pass) {
		room, ok := p.MemoryRoom(server)
		if !ok || room.Whose != pod || room.Left() != 50 {
			t.Errorf("room = %+v with %v left, want 50 in the pod", room, room.Left())
		}
	})
}
