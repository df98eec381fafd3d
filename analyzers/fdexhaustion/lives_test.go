// SPDX-License-Identifier: Apache-2.0

package fdexhaustion

import (
	"math"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest"
)

// live replays five recorded minutes as hours: a window does not show growth by nine
// descriptors in ten minutes.
func live(t *testing.T, name string, each func(analysistest.Seen)) {
	t.Helper()
	life := analysistest.Life{File: "testdata/lives/" + name + ".txtar", Slower: 90, Params: map[*analysis.Param]float64{farthest: 0}}
	life.Live(t, Analyzer, each)
}

// TestLeakOfHours checks that the forecast from the history is right within a
// quarter. There is no forecast from the window.
func TestLeakOfHours(t *testing.T) {
	told := 0
	live(t, "leak", func(seen analysistest.Seen) {
		for _, f := range seen.Findings {
			if f.Forecast == nil || f.Cause != leak || f.Severity < analysis.Warning {
				t.Errorf("after %.0f s: %s %s %s", seen.Second, f.Severity, f.Cause, f.Summary)
				continue
			}
			count, _ := seen.Window.Last(catalog.ProcessFDs, f.Subject)
			truth := (512 - count) * 90
			if told++; math.Abs(f.Forecast.At-truth) > truth/4 || *f.Forecast.Low > truth || *f.Forecast.High < truth {
				t.Errorf("after %.0f s: in %.0f s (%.0f to %.0f), want %.0f", seen.Second, f.Forecast.At, *f.Forecast.Low, *f.Forecast.High, truth)
			}
			if told == 1 {
				t.Logf("after %.0f s: %s", seen.Second, f.Summary)
			}
		}
	})
	if told < 5 {
		t.Errorf("told in %d looks", told)
	}
}

func TestPoolThatFillsIsNoLeak(t *testing.T) {
	live(t, "silent-pool-that-fills", func(seen analysistest.Seen) {
		for _, f := range seen.Findings {
			t.Errorf("after %.0f s: %s %s", seen.Second, f.Severity, f.Summary)
		}
	})
}
