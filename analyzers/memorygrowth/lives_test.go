// SPDX-License-Identifier: Apache-2.0

package memorygrowth

import (
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest"
)

// paces are how the five recorded minutes of a life are looked at: as they are,
// through windows of a minute, and as seven and a half hours through the windows that
// the agent has by default.
var paces = map[string]struct {
	slower float64
	params map[*analysis.Param]float64
}{
	"minutes": {1, map[*analysis.Param]float64{trendWindow: 60}},
	"hours":   {90, nil},
}

func replayLives(t *testing.T, name string, each func(pace string, slower float64, seen analysistest.Seen)) {
	t.Helper()
	for pace, p := range paces {
		life := analysistest.Life{File: "testdata/lives/" + name + ".txtar", Slower: p.slower, Params: p.params}
		life.Live(t, Analyzer, func(seen analysistest.Seen) { each(pace, p.slower, seen) })
	}
}

// TestLeaksAreForetold: a leak of 1 MB a second is told before half of its life is
// over, and the interval holds the moment at which the limit would have been reached.
func TestLeaksAreForetold(t *testing.T) {
	for name, perSecond := range map[string]float64{"leak-node": 1.12e6, "leak-python": 1.04e6} {
		first, told, held := map[string]float64{}, map[string]float64{}, map[string]float64{}
		last := map[string]string{}
		replayLives(t, name, func(pace string, slower float64, seen analysistest.Seen) {
			for _, f := range seen.Findings {
				if f.Severity < analysis.Warning || f.Forecast.Low == nil || f.Forecast.High == nil {
					continue
				}
				if told[pace] == 0 {
					first[pace] = seen.Second / slower
				}
				anon, _ := seen.Window.Last(catalog.ProcessAnon, f.Subject)
				truth := (512*mib - anon - 30*mib) / perSecond * slower // the container holds some more than the process
				told[pace]++
				if *f.Forecast.Low <= truth && truth <= *f.Forecast.High {
					held[pace]++
				}
				last[pace] = f.Summary
			}
		})
		for pace := range paces {
			t.Logf("%s, %s: first after %.0f s, %v looks, %v hold the truth: %s", name, pace, first[pace], told[pace], held[pace], last[pace])
			if told[pace] < 8 || first[pace] > 250 || held[pace] < 0.8*told[pace] {
				t.Errorf("%s, %s: told in %v looks, first after %.0f s of 300, %v hold the truth", name, pace, told[pace], first[pace], held[pace])
			}
		}
	}
}

// TestLookAlikesStaySilent: nobody is woken by a sawtooth whose teeth are longer
// than the window, nor by a cache that fills.
func TestLookAlikesStaySilent(t *testing.T) {
	for _, name := range []string{"silent-sawtooth", "silent-cache-that-fills"} {
		replayLives(t, name, func(pace string, slower float64, seen analysistest.Seen) {
			for _, f := range seen.Findings {
				if f.Severity > analysis.Info {
					t.Errorf("%s, %s, after %.0f s: %s %s", name, pace, seen.Second/slower, f.Severity, f.Summary)
				}
			}
		})
	}
}
