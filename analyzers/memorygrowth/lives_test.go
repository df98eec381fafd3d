// SPDX-License-Identifier: Apache-2.0

package memorygrowth

import (
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest"
)

// paces are the ways to replay the five recorded minutes of a life: at recorded speed
// with windows of a minute, and as seven and a half hours with the default windows of
// the agent.
var paces = map[string]struct {
	slower float64
	params map[*analysis.Param]float64
}{
	"minutes": {1, map[*analysis.Param]float64{trendWindow: 60}},
	"hours":   {90, nil},
}

func live(t *testing.T, name, pace string, each func(analysistest.Seen, *analysis.Finding)) {
	t.Helper()
	p := paces[pace]
	life := analysistest.Life{File: "testdata/lives/" + name + ".txtar", Slower: p.slower, Params: p.params}
	life.Live(t, Analyzer, func(seen analysistest.Seen) {
		for _, f := range seen.Findings {
			each(seen, f)
		}
	})
}

// TestLeakIsForetold checks that a leak of 1 MB/s is reported in the first half of its
// life, and that the interval contains the time at which it would reach the limit.
func TestLeakIsForetold(t *testing.T) {
	const perSecond, others = 1.04e6, 10 * mib // bytes/s, and the other memory of the container
	for pace, p := range paces {
		first, told, held := 0.0, 0, 0
		live(t, "leak-python", pace, func(seen analysistest.Seen, f *analysis.Finding) {
			if f.Severity < analysis.Warning || f.Forecast.Low == nil || f.Forecast.High == nil {
				return
			}
			if told++; told == 1 {
				first = seen.Second / p.slower
				t.Logf("%s: after %.0f s: %s %s", pace, first, f.Severity, f.Summary)
			}
			anon, _ := seen.Window.Last(catalog.ProcessAnon, f.Subject)
			if truth := (512*mib - others - anon) / perSecond * p.slower; *f.Forecast.Low <= truth && truth <= *f.Forecast.High {
				held++
			}
		})
		if told < 8 || first > 250 || float64(held) < 0.9*float64(told) {
			t.Errorf("%s: told in %d looks, first after %.0f s of 500, %d intervals hold the truth", pace, told, first, held)
		}
	}
}

// TestCollectionsThatWereSeen checks the forecast for a heap whose observed collections
// free less and less memory.
func TestCollectionsThatWereSeen(t *testing.T) {
	told := 0
	live(t, "leak-collected", "hours", func(seen analysistest.Seen, f *analysis.Finding) {
		if f.Severity == analysis.Warning && f.Confidence == shown && f.Forecast.High != nil {
			if told++; told == 1 {
				t.Log(f.Summary)
			}
		}
	})
	if told < 3 {
		t.Errorf("told in %d looks", told)
	}
}

// TestNoCollectionWasSeen checks that a heap without an observed collection has no
// forecast interval: it is not known how much its next collection frees.
func TestNoCollectionWasSeen(t *testing.T) {
	for pace, most := range map[string]analysis.Severity{"minutes": analysis.Warning, "hours": analysis.Info} {
		worst := analysis.Healthy
		live(t, "leak-node", pace, func(seen analysistest.Seen, f *analysis.Finding) {
			if worst = max(worst, f.Severity); f.Forecast.Low != nil || f.Confidence > uncollected {
				t.Errorf("%s, after %.0f s: %s of %.2f: %s", pace, seen.Second, f.Severity, f.Confidence, f.Summary)
			}
		})
		if worst != most {
			t.Errorf("%s: %s at the most, want %s", pace, worst, most)
		}
	}
}

// TestLookAlikesStaySilent checks that there is no warning for a sawtooth with teeth
// longer than the window, nor for a cache that fills.
func TestLookAlikesStaySilent(t *testing.T) {
	for _, name := range []string{"silent-sawtooth", "silent-cache-that-fills"} {
		for pace := range paces {
			live(t, name, pace, func(seen analysistest.Seen, f *analysis.Finding) {
				if f.Severity > analysis.Info {
					t.Errorf("%s, %s, after %.0f s: %s %s", name, pace, seen.Second, f.Severity, f.Summary)
				}
			})
		}
	}
}
