// SPDX-License-Identifier: Apache-2.0

package conntrackexhaustion

import (
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/history"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

func ask(t *testing.T, count, dropped float64) *analysis.Finding {
	t.Helper()
	h := handmade.New(t, 10, 2)
	h.Set(catalog.ConntrackCount, h.Node(), count)
	h.Set(catalog.ConntrackLimit, h.Node(), 100_000)
	h.Set(catalog.ConntrackDrops, h.Node(), dropped)
	return h.One(Analyzer)
}

func TestShares(t *testing.T) {
	for _, c := range []struct {
		count, dropped float64
		want           analysis.Severity
		limit          float64
	}{
		{75_000, 0, analysis.Healthy, 0},
		{75_001, 0, analysis.Warning, 112_502},
		{90_000, 0, analysis.Critical, 135_000},
		{100_000, 1300, analysis.Critical, 150_000},
		{100, 3, analysis.Healthy, 0}, // not enough memory for an entry
	} {
		f := ask(t, c.count, c.dropped)
		if f == nil {
			if c.want != analysis.Healthy {
				t.Errorf("%v, %v dropped: nothing, want %s", c.count, c.dropped, c.want)
			}
			continue
		}
		r := f.Recommendations[0]
		if f.Severity != c.want || r.Quantity.Value != c.limit {
			t.Errorf("%v, %v dropped: %s, raise to %v, want %s and %v", c.count, c.dropped, f.Severity, r.Quantity.Value, c.want, c.limit)
		}
		t.Logf("%s\n-> %s", f.Summary, r.Action)
	}
}

func TestDropsAreTold(t *testing.T) {
	if f := ask(t, 100_000, 1300); !strings.Contains(f.Summary, "dropped 1300 packets") {
		t.Errorf("summary = %q", f.Summary)
	}
	if f := ask(t, 91_000, 7); strings.Contains(f.Summary, "dropped") {
		t.Errorf("a table that was never full: %q", f.Summary)
	}
	if f := ask(t, 95_000, 0); f.Forecast != nil || strings.Contains(f.Summary, "dropped") {
		t.Errorf("finding = %+v", f)
	}
}

// TestFullBetweenReadings checks that evictions show a full table even if no reading
// does: the kernel evicts connections only from a full table.
func TestFullBetweenReadings(t *testing.T) {
	h := handmade.New(t, 10, 2)
	h.Set(catalog.ConntrackCount, h.Node(), 40_000)
	h.Set(catalog.ConntrackLimit, h.Node(), 100_000)
	h.Set(catalog.ConntrackEvictions, h.Node(), 12)
	f := h.One(Analyzer)
	if f == nil || f.Severity != analysis.Critical || f.Recommendations[0].Quantity.Value != 150_000 || !strings.Contains(f.Summary, "evicted 12 unfinished connections") || !strings.Contains(f.Summary, "between two readings") {
		t.Errorf("finding = %+v, want a table that was full for a moment", f)
	}
}

// TestWeeksPeak checks that the new limit is based on the peak in the agent's
// history.
func TestWeeksPeak(t *testing.T) {
	h := handmade.New(t, 10, 2)
	h.Set(catalog.ConntrackCount, h.Node(), 80_000)
	h.Set(catalog.ConntrackLimit, h.Node(), 100_000)
	past := history.New(history.Options{Index: h.Index()})
	differ, snap := observe.NewDiffer(h.Index()), observe.NewSnapshot(h.Index())
	for hour := range 48 {
		snap.Reset()
		snap.Set(catalog.ConntrackCount, h.Node(), map[bool]float64{true: 95_000, false: 20_000}[hour == 3])
		past.Add(differ.Step(snap), time.Duration(hour)*time.Hour)
	}
	h.Remember(past)
	if q := h.One(Analyzer).Recommendations[0].Quantity; q.Value < 142_400 || q.Value > 142_600 {
		t.Errorf("raise to %v, want 1.5 times the 95,000 of two days ago", q.Value)
	}
}
