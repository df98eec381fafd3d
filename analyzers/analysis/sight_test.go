// SPDX-License-Identifier: Apache-2.0

package analysis_test

import (
	"fmt"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

// question returns an analyzer that needs m and checks the given number of subjects.
func question(name string, m *observe.Metric, subjects int) *analysis.Analyzer {
	return &analysis.Analyzer{Name: name, Needs: []*observe.Metric{m}, Run: func(p *analysis.Pass) []analysis.Finding {
		for range subjects {
			p.Checked()
		}
		return nil
	}}
}

// TestSight checks that an analyzer does not count as asked if its source is missing,
// and does if only its subjects are.
func TestSight(t *testing.T) {
	x := observe.NewIndex(10)
	w := observe.NewWindow(x)
	w.Seconds = 1
	snapshot := observe.NewSnapshot(x)
	snapshot.Set(catalog.CPUCount, x.ID(observe.Entity{Kind: observe.Node, ID: catalog.NodeID}), 2)
	w.Add(observe.NewDiffer(x).Step(snapshot))
	sources := map[string]string{catalog.LoopBusy.Key(): "loop", catalog.ListenerQueue.Key(): "fd", catalog.CPUCount.Key(): "cpu"}
	loopGap := observe.Gap{Source: "loop", Reason: "eBPF is refused"}
	partial := question("partial", catalog.CPUCount, 0)
	partial.Run = func(p *analysis.Pass) []analysis.Finding {
		p.Skip("no loop was seen", catalog.LoopBusy)
		return nil
	}
	broken := question("broken", catalog.CPUCount, 0)
	broken.Run = func(*analysis.Pass) []analysis.Finding { panic("a bug") }
	for name, c := range map[string]struct {
		question *analysis.Analyzer
		gaps     []observe.Gap
		asked    int
	}{
		"subjects":                       {question("q", catalog.CPUCount, 3), nil, 1},
		"no subject among those seen":    {question("q", catalog.CPUCount, 0), nil, 1},
		"no subject, and the source can": {question("q", catalog.ListenerQueue, 0), []observe.Gap{loopGap}, 1},
		"the source cannot":              {question("q", catalog.LoopBusy, 0), []observe.Gap{loopGap}, 0},
		"no known source":                {question("q", catalog.NICReceived, 0), nil, 0},
		"a part, of no subject":          {partial, nil, 1},
		"a part, and the source cannot":  {partial, []observe.Gap{loopGap}, 0},
		"failed":                         {broken, nil, 0},
		"no subject in the part seen":    {question("q", catalog.CPUCount, 0), []observe.Gap{{Source: "cpu", Reason: "half of it is hidden"}}, 0},
		"no subject, a process hidden":   {question("q", catalog.CPUCount, 0), []observe.Gap{{Source: "cpu", Reason: "one is hidden", Process: "42:1"}}, 1},
		"a subject in the part seen":     {question("q", catalog.CPUCount, 1), []observe.Gap{{Source: "cpu", Reason: "half of it is hidden"}}, 1},
	} {
		w.Gaps = c.gaps
		r := analysis.Run([]*analysis.Analyzer{c.question}, w, observe.Host{}, analysis.Options{Sources: sources})
		if r.Sight.Asked != c.asked || r.Sight.Questions != 1 {
			t.Errorf("%s: %d of %d asked, want %d of 1", name, r.Sight.Asked, r.Sight.Questions, c.asked)
		}
	}
}

// TestVerdict checks that a report without findings is not healthy if much was not
// observed, and that a problem remains a problem.
func TestVerdict(t *testing.T) {
	doubt := []observe.Gap{{Source: observe.GapView, Reason: "only one container is seen"}}
	ended := []observe.Gap{{Source: observe.GapTarget, Reason: "the process ended"}}
	for _, c := range []struct {
		sight analysis.Sight
		worst analysis.Severity
		want  analysis.Verdict
		half  bool
	}{
		{analysis.Sight{Asked: 19, Questions: 19}, analysis.Healthy, "healthy", false},
		{analysis.Sight{Asked: 13, Questions: 19}, analysis.Healthy, "healthy", false},
		{analysis.Sight{Asked: 12, Questions: 19}, analysis.Healthy, "healthy", true},
		{analysis.Sight{Asked: 9, Questions: 19}, analysis.Info, "info", true},
		{analysis.Sight{Asked: 6, Questions: 19}, analysis.Healthy, "unknown", true},
		{analysis.Sight{Asked: 0, Questions: 19}, analysis.Info, "unknown", true},
		{analysis.Sight{Asked: 0, Questions: 19}, analysis.Warning, "warning", true},
		{analysis.Sight{Asked: 19, Questions: 19, Doubts: doubt}, analysis.Healthy, "unknown", true},
		{analysis.Sight{Asked: 19, Questions: 19, Doubts: ended}, analysis.Healthy, "unknown", false},
		{analysis.Sight{Asked: 19, Questions: 19, Doubts: doubt}, analysis.Info, "unknown", true},
		{analysis.Sight{Asked: 19, Questions: 19, Doubts: doubt}, analysis.Critical, "critical", true},
		{analysis.Sight{}, analysis.Healthy, "healthy", false},
	} {
		name := fmt.Sprintf("%d of %d asked, %d doubts, worst %s", c.sight.Asked, c.sight.Questions, len(c.sight.Doubts), c.worst)
		if got := c.sight.Verdict(c.worst); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if got := c.sight.HalfBlind(); got != c.half {
			t.Errorf("%s: half blind = %t, want %t", name, got, c.half)
		}
	}
}

// TestUnseenProcess checks that a server that a working source cannot observe is counted
// in a report about the host, and makes the report about itself unknown.
func TestUnseenProcess(t *testing.T) {
	x := observe.NewIndex(10)
	process := func(id string) observe.ID { return x.ID(observe.Entity{Kind: observe.Process, ID: id}) }
	loopOf := func(id string) observe.ID {
		loop := x.ID(observe.Entity{Kind: observe.Loop, ID: id + "/1"})
		x.Describe(loop, observe.Info{Parent: x.Entity(process(id))})
		return loop
	}
	hidden, mixed, other := process("1:1"), process("2:1"), process("3:1")
	snapshot := observe.NewSnapshot(x)
	snapshot.Set(catalog.CurrentTick, loopOf("2:1"), 1)
	snapshot.Set(catalog.CurrentTick, loopOf("3:1"), 1)
	snapshot.ProcessGap(hidden, "loop", "it waits in io_uring", "")
	snapshot.ProcessGap(mixed, "loop", "one of its loops hangs", "")
	snapshot.ProcessGap(other, "frames", "its functions cannot be named", "") // no analyzer needs them
	w := observe.NewWindow(x)
	w.Seconds = 1
	w.Add(observe.NewDiffer(x).Step(snapshot))
	sources := map[string]string{catalog.CurrentTick.Key(): "loop", catalog.CPUCount.Key(): "cpu"}
	for name, c := range map[string]struct {
		target  observe.ID
		asked   int
		unseen  int
		verdict analysis.Verdict
	}{
		"the host":               {observe.None, 1, 2, "healthy"},
		"the hidden server":      {hidden, 0, 0, "unknown"},
		"a server seen in part":  {mixed, 1, 0, "unknown"},
		"a server that was seen": {other, 1, 0, "healthy"},
	} {
		opts := analysis.Options{Sources: sources}
		if c.target != observe.None {
			opts.Keep = func(id observe.ID) bool { return x.Within(id, c.target) }
		}
		r := analysis.Run([]*analysis.Analyzer{question("q", catalog.CurrentTick, 2)}, w, observe.Host{}, opts)
		if r.Sight.Asked != c.asked || r.Sight.Unseen != c.unseen || r.Verdict() != c.verdict {
			t.Errorf("%s: %d asked, %d unseen, %s; want %d, %d, %s", name, r.Sight.Asked, r.Sight.Unseen, r.Verdict(), c.asked, c.unseen, c.verdict)
		}
		if checked := len(r.Checked) > 0; checked != (c.asked > 0) {
			t.Errorf("%s: counts as checked: %t", name, checked)
		}
	}
}
