// SPDX-License-Identifier: Apache-2.0

package fdexhaustion

import (
	"math"
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

// steady returns a number that grows at a constant rate.
func steady(from, perSecond float64) func(int) float64 {
	return func(second int) float64 { return from + perSecond*float64(second) }
}

// server returns a process with fds open descriptors, some of them connections, under
// a limit.
func server(t *testing.T, soft, hard float64, fds, connections func(int) float64) (*handmade.Host, observe.ID) {
	h := handmade.New(t, 30, 2)
	process := h.Process("42", "node", "node server.js", observe.None)
	h.Set(catalog.ProcessFDLimit, process, soft)
	h.Set(catalog.ProcessFDHardLimit, process, hard)
	h.Set(catalog.ProcessAge, process, 600)
	h.Each(catalog.ProcessFDs, process, fds)
	h.Each(catalog.ProcessEstablished, process, connections)
	return h, process
}

func kinds(h *handmade.Host, process observe.ID, files, sockets func(int) float64) {
	h.Each(catalog.ProcessFDFiles, process, files)
	h.Each(catalog.ProcessFDSockets, process, sockets)
	h.Set(catalog.ProcessFDPipes, process, 2)
	h.Set(catalog.ProcessFDAnon, process, 4)
}

func want(t *testing.T, f *analysis.Finding, severity analysis.Severity, cause string, verb analysis.Verb) {
	t.Helper()
	if f == nil {
		t.Fatalf("no finding, want %s %s", severity, cause)
	}
	if f.Severity != severity || f.Cause != cause {
		t.Errorf("finding = %s %s, want %s %s", f.Severity, f.Cause, severity, cause)
	}
	if len(f.Recommendations) == 0 || f.Recommendations[0].Verb != verb {
		t.Errorf("recommendations = %+v, want %s first", f.Recommendations, verb)
	}
	t.Logf("%s\n-> %s", f.Summary, f.Recommendations[0].Action)
}

func TestLeakIsForecastBeforeItEnds(t *testing.T) {
	h, process := server(t, 1024, 1024, steady(100, 2), steady(10, 0))
	kinds(h, process, steady(84, 2), steady(10, 0))
	f := h.One(Analyzer)
	want(t, f, analysis.Critical, leak, analysis.FixLeak)
	// 160 are open at the end, 864 are left, and 2 are added per second.
	if f.Forecast == nil || math.Abs(f.Forecast.At-432) > 1 || f.Forecast.Low == nil || f.Forecast.High == nil {
		t.Errorf("forecast = %+v, want 432 s with its interval", f.Forecast)
	}
	if q := f.Recommendations[0].Quantity; q == nil || q.Value != 7200 {
		t.Errorf("leak = %+v, want 7200 an hour", q)
	}
	if !strings.Contains(f.Summary, "files") {
		t.Errorf("the summary does not name what grows: %s", f.Summary)
	}
	if len(f.Recommendations) != 2 || f.Recommendations[1].Verb != analysis.RaiseFDLimit {
		t.Errorf("no time is bought: %+v", f.Recommendations)
	}
}

// TestLeakFartherThanATrendGoesIsSilent checks that a trend of half a minute is not
// extrapolated to 18 hours.
func TestLeakFartherThanATrendGoesIsSilent(t *testing.T) {
	h, _ := server(t, 65536, 65536, steady(100, 1), steady(10, 0))
	if f := h.One(Analyzer); f != nil {
		t.Errorf("finding: %s", f.Summary)
	}
}

func TestYoungProcessLowersConfidence(t *testing.T) {
	confidence := func(age float64) float64 {
		h, process := server(t, 1024, 1024, steady(100, 2), steady(10, 0))
		h.Set(catalog.ProcessAge, process, age)
		return h.One(Analyzer).Confidence
	}
	if young, old := confidence(10), confidence(600); young >= old {
		t.Errorf("confidence = %.2f of a young process, %.2f of an old one", young, old)
	}
}

// TestGrowthThatIsNoLeak checks growth that is not a leak: most of these add 60
// descriptors in 30 s, under a limit of 1024.
func TestGrowthThatIsNoLeak(t *testing.T) {
	for name, c := range map[string]struct{ fds, connections func(int) float64 }{
		"a load that ramps up":             {steady(100, 2), steady(10, 2)},
		"a file for each new connection":   {steady(100, 2), steady(10, 1)},
		"a pool that fills to its size":    {func(s int) float64 { return min(160, 100+20*float64(s)) }, steady(10, 0)},
		"a warm-up":                        {func(s int) float64 { return 100 + 60*(1-math.Exp(-float64(s)/5)) }, steady(10, 0)},
		"files that are opened and closed": {func(s int) float64 { return 100 + 60*float64(s%2) }, steady(10, 0)},
		"one step, a new log and its pool": {func(s int) float64 { return 100 + 60*float64(s/15) }, steady(10, 0)},
		"a few more":                       {steady(100, 0.2), steady(10, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := server(t, 1024, 1024, c.fds, c.connections)
			if f := h.One(Analyzer); f != nil {
				t.Errorf("finding %s %s: %s", f.Severity, f.Cause, f.Summary)
			}
		})
	}
}

func TestSocketsStandForConnectionsThatNobodyCounted(t *testing.T) {
	h := handmade.New(t, 30, 2)
	process := h.Process("42", "", "api", observe.None)
	h.Set(catalog.ProcessFDLimit, process, 1024)
	h.Each(catalog.ProcessFDs, process, steady(100, 2))
	kinds(h, process, steady(4, 0), steady(90, 2))
	if f := h.One(Analyzer); f != nil {
		t.Errorf("finding: %s", f.Summary)
	}
}

func TestShareJustBelowAndAboveItsBounds(t *testing.T) {
	for _, c := range []struct {
		fds  float64
		want analysis.Severity
	}{{799, analysis.Healthy}, {800, analysis.Warning}, {949, analysis.Warning}, {950, analysis.Critical}} {
		h, _ := server(t, 1000, 1000, steady(c.fds, 0), steady(c.fds-20, 0))
		got := analysis.Healthy
		if f := h.One(Analyzer); f != nil {
			got = f.Severity
		}
		if got != c.want {
			t.Errorf("severity of %v of 1000 = %s, want %s", c.fds, got, c.want)
		}
	}
}

func TestPeakOfConnectionsIsNoLeak(t *testing.T) {
	for _, c := range []struct {
		hard  float64
		cause string
	}{{1024, load}, {4096, limitTooLow}, {524288, limitTooLow}} {
		h, _ := server(t, 1024, c.hard, steady(900, 2), steady(880, 2))
		f := h.One(Analyzer)
		want(t, f, analysis.Warning, c.cause, analysis.RaiseFDLimit)
		// 1.5 × 960 = 1440.
		if q := f.Recommendations[0].Quantity; q.Value != 2048 || *q.High != 2048 {
			t.Errorf("limit = %+v, want 2048", q)
		}
		if over := strings.Contains(f.Recommendations[0].Action, "the hard limit of 1024"); over != (c.hard < 2048) {
			t.Errorf("hard limit %v: %s", c.hard, f.Recommendations[0].Action)
		}
	}
}

// TestExhaustedAlthoughHidden checks a process whose number of descriptors moves
// between the limit and one less, because libuv closes its spare descriptor to accept
// the connection.
func TestExhaustedAlthoughHidden(t *testing.T) {
	h, process := server(t, 256, 256, func(s int) float64 { return 255 + float64(s%2) }, steady(3, 0))
	kinds(h, process, steady(240, 0), steady(9, 0))
	f := h.One(Analyzer)
	want(t, f, analysis.Critical, leak, analysis.FixLeak)
	if f.Forecast != nil || f.Impact < 0.9 {
		t.Errorf("forecast %+v, impact %v: it is now, all of the time", f.Forecast, f.Impact)
	}
	if q := f.Recommendations[1].Quantity; q.High != nil {
		t.Errorf("limit = %+v: what was refused is not known", q)
	}
}

func TestRefusedForAMoment(t *testing.T) {
	h, process := server(t, 256, 256, func(s int) float64 { return 200 + 56*float64(s/29%2) }, steady(190, 0))
	h.Set(catalog.ProcessFDRefused, process, 3)
	want(t, h.One(Analyzer), analysis.Critical, load, analysis.RaiseFDLimit)
}

// TestMoreThanTheLimit checks a process with more descriptors than its limit, which
// was lowered. The limit applies to the numbers of new descriptors, so the process
// may still have some left.
func TestMoreThanTheLimit(t *testing.T) {
	for _, c := range []struct {
		watched  bool
		refused  float64
		want     analysis.Severity
		mentions string
	}{
		{false, 0, analysis.Critical, "cannot open files"},
		{true, 0, analysis.Warning, "numbers below 128, and how many of these are free is not known"},
		{true, 5, analysis.Critical, "cannot open files or accept connections (5 calls were refused)"},
	} {
		h, process := server(t, 128, 128, steady(129, 0), steady(100, 0))
		if c.watched {
			h.Set(catalog.ProcessFDRefused, process, c.refused)
		}
		f := h.One(Analyzer)
		want(t, f, c.want, load, analysis.RaiseFDLimit)
		if !strings.Contains(f.Summary, c.mentions) || !strings.Contains(f.Summary, "holds 129 file descriptors, more than its limit of 128") {
			t.Errorf("summary = %q, want %q in it", f.Summary, c.mentions)
		}
	}
}

func TestTouchingTheLimitOnceIsNoExhaustion(t *testing.T) {
	h, _ := server(t, 256, 256, func(s int) float64 { return 150 + 106*float64(s/29%2) }, steady(140, 0))
	f := h.One(Analyzer)
	if f == nil || strings.Contains(f.Summary, "cannot") {
		t.Errorf("finding = %+v, want one that does not claim a refusal", f)
	}
}

func TestHeadroomItselfIsNoSubject(t *testing.T) {
	h := handmade.New(t, 30, 2)
	process := h.Process("42", "go", "headroom", observe.None, catalog.AttrSelf, "true")
	h.Set(catalog.ProcessFDLimit, process, 1024)
	h.Set(catalog.ProcessFDs, process, 1000)
	if f := h.One(Analyzer); f != nil {
		t.Errorf("finding: %s", f.Summary)
	}
}

func TestTableOfTheHost(t *testing.T) {
	h, process := server(t, 1<<20, 1<<20, steady(900_000, 0), steady(10, 0))
	h.Set(catalog.HostFDs, h.Node(), 960_000)
	h.Set(catalog.HostFDLimit, h.Node(), 1_000_000)
	r := h.Run(Analyzer)
	if len(r.Findings) != 2 {
		t.Fatalf("%d findings, want the process's and the host's", len(r.Findings))
	}
	for _, f := range r.Findings {
		if f.Subject == h.Node() {
			want(t, f, analysis.Critical, load, analysis.RaiseFDLimit)
			if len(f.Blame) != 1 || f.Blame[0].Subject != process {
				t.Errorf("blame = %+v", f.Blame)
			}
		}
	}
}

func TestNobodyHasALimitThatIsKnown(t *testing.T) {
	h := handmade.New(t, 30, 2)
	h.Set(catalog.ProcessFDs, h.Process("42", "", "cron", observe.None), 12)
	r := h.Run(Analyzer)
	if len(r.Findings) != 0 || len(r.Skipped) != 0 || r.Checked[0].Subjects != 1 {
		t.Errorf("findings %v, skipped %v, checked %v; want one that is fine", r.Findings, r.Skipped, r.Checked)
	}
}
