// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/run"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/cmd/headroom/internal/host"
)

// TestLostQuestions checks which questions count as lost: those whose source hangs,
// fails, is not open yet, was available before, or is not trusted, but not those that
// the node never offers.
func TestLostQuestions(t *testing.T) {
	sources := host.Sources(host.Samplers)
	metric := catalog.ProcessFDs
	name := sources[metric.Key()]
	question := &analysis.Analyzer{Name: "q", Category: analysis.CategoryConnections, Needs: []*observe.Metric{metric},
		Run: func(p *analysis.Pass) []analysis.Finding { p.Checked(); return nil }}
	evaluate := func(gap string, seen bool) *analysis.Result {
		x := observe.NewIndex(10)
		w := observe.NewWindow(x)
		if seen {
			s := observe.NewSnapshot(x)
			s.Set(metric, x.ID(observe.Entity{Kind: observe.Process, ID: "1:1"}), 1)
			w = observe.NewDiffer(x).Step(s)
		}
		if gap != "" {
			w.Gaps = append(w.Gaps, observe.Gap{Source: name, Reason: "-"}, observe.Gap{Source: gap, Reason: "-"})
		}
		return analysis.Run([]*analysis.Analyzer{question}, w, observe.Host{}, analysis.Options{Sources: sources})
	}
	for _, c := range []struct {
		name  string
		stats run.Stats
		gap   string
		asked bool // answered before
		want  int
	}{
		{"the kernel does not offer it", run.Stats{Absent: true}, name, false, 0},
		{"it is read in a way that tells less", run.Stats{Open: true}, name, false, 0},
		{"it hangs", run.Stats{Open: true, Hangs: true}, name, false, 1},
		{"it fails", run.Stats{Open: true, Failing: true}, name, false, 1},
		{"it is being opened", run.Stats{}, name, false, 1},
		{"it was asked before", run.Stats{Open: true}, name, true, 1},
		{"sources disagree", run.Stats{Absent: true}, observe.GapView, false, 1},
	} {
		var can askable
		if c.asked {
			if n := can.lost(evaluate("", true), nil); n != 0 {
				t.Fatalf("%s: %d lost at first, want none", c.name, n)
			}
		}
		c.stats.Name = name
		if got := can.lost(evaluate(c.gap, false), []run.Stats{c.stats}); got != c.want {
			t.Errorf("%s: %d lost, want %d", c.name, got, c.want)
		}
	}
}
