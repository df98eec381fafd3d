// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"fmt"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

// BenchmarkFullNode runs every analyzer over 10,000 entities: 110 containers
// with a quota, 2,000 processes, 7,000 threads and 800 loops, all of them busy
// enough to be evaluated. A tenth of the containers is throttled, and one loop
// in twenty is late.
func BenchmarkFullNode(b *testing.B) {
	w := fullNode()
	host := observe.Host{CPUs: 64}
	for b.Loop() {
		analysis.Run(Analyzers, w, host, analysis.Options{})
	}
	b.ReportMetric(float64(w.Index.Len()), "entities")
}

func fullNode() *observe.Window {
	x := observe.NewIndex(observe.DefaultLimit)
	d, w := observe.NewDiffer(x), observe.NewWindow(x)
	for second := range 3 {
		s := observe.NewSnapshot(x)
		s.Monotonic = time.Duration(second) * time.Second
		s.Time = time.Unix(int64(second), 0)
		fill(x, s, float64(second))
		if step := d.Step(s); second > 0 {
			w.Add(step)
		}
	}
	return w
}

func fill(x *observe.Index, s *observe.Snapshot, seconds float64) {
	add := func(kind observe.EntityKind, id string, parent observe.Entity, attrs map[string]string) observe.ID {
		e := x.ID(observe.Entity{Kind: kind, ID: id})
		x.Describe(e, observe.Info{Parent: parent, Attrs: attrs})
		return e
	}
	node := x.ID(observe.Entity{Kind: observe.Node, ID: catalog.NodeID})
	s.Set(catalog.CPUCount, node, 64)
	s.Set(catalog.HostCPUSome, node, 0.3*seconds)
	for i := range 64 {
		s.Set(catalog.CPUIdle, add(observe.CPU, fmt.Sprint(i), x.Entity(node), nil), 0.1*seconds)
	}
	for c := range 110 {
		container := add(observe.Cgroup, fmt.Sprintf("/kubepods/%d", c), x.Entity(node), map[string]string{catalog.AttrContainerID: fmt.Sprint(c)})
		s.Set(catalog.CgroupCPULimit, container, 1)
		s.Set(catalog.CgroupCPUPeriod, container, 0.1)
		s.Set(catalog.CgroupPeriods, container, 10*seconds)
		if c%10 == 0 {
			s.Set(catalog.CgroupThrottled, container, 5*seconds)
			s.Set(catalog.CgroupThrottledS, container, 0.2*seconds)
		}
		s.Set(catalog.CgroupCPUTime, container, 0.9*seconds)
	}
	for i := range 2000 {
		container := observe.Entity{Kind: observe.Cgroup, ID: fmt.Sprintf("/kubepods/%d", i%110)}
		id := fmt.Sprintf("%d:1", 1000+i)
		attrs := map[string]string{catalog.AttrPID: fmt.Sprint(1000 + i), catalog.AttrRuntime: "node", catalog.AttrCommand: "node server.js", catalog.AttrOwner: container.ID}
		process := add(observe.Process, id, container, attrs)
		s.Set(catalog.ProcessCPU, process, 0.05*seconds)
		s.Set(catalog.ProcessRunQueue, process, 0.01*seconds)
		s.Set(catalog.ProcessRuns, process, 100*seconds)
		s.Set(catalog.ProcessThreads, process, 11)
		h := s.Hist(catalog.RunQueueDelay, process)
		h.Count[4], h.Sum[4] = 0.5*seconds, 0.001*seconds
		s.SetPair(catalog.WaitedFor, process, observe.ID(int(process)/2+1), 0.04*seconds)
		for t := range 3 + i%2 {
			thread := add(observe.Thread, fmt.Sprintf("%s/%d", id, t), x.Entity(process), nil)
			s.Set(catalog.ThreadCPU, thread, 0.02*seconds)
			s.Set(catalog.ThreadRunQueue, thread, 0.01*seconds)
		}
		if i < 800 {
			fillLoop(s, add(observe.Loop, id+"/0", x.Entity(process), map[string]string{catalog.AttrTID: fmt.Sprint(1000 + i)}), process, seconds)
		}
	}
}

func fillLoop(s *observe.Snapshot, loop, process observe.ID, seconds float64) {
	s.Set(catalog.ProcessListens, process, 1)
	s.Set(catalog.LoopTicks, loop, 10*seconds)
	s.Set(catalog.LoopBusy, loop, 0.3*seconds)
	s.Set(catalog.LoopWait, loop, 0.7*seconds)
	if loop%20 != 0 {
		return
	}
	s.Set(catalog.LongTicks, loop, 4*seconds)
	s.Set(catalog.LongBusy, loop, 0.6*seconds)
	s.Set(catalog.LongCPU, loop, 0.2*seconds)
	s.Set(catalog.LongThrottled, loop, 0.4*seconds)
	h := s.Hist(catalog.LoopLag, loop)
	h.Count[30], h.Sum[30] = 4*seconds, 0.6*seconds
}
