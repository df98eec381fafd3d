// SPDX-License-Identifier: Apache-2.0

package memorygrowth

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/history"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

// Days are simulated here, because there is no recording of a leak of three days.
// Recorded minutes of real programs are in lives_test.go.

const hour = 3600.0

// A days is a container with a limit of 512 MiB and one process, which has
// anon(seconds) MiB.
type days struct {
	runtime string
	anon    func(seconds float64) float64
	// each is the time between restarts, in seconds; 0 for none.
	each float64
}

// severities returns the worst severity in each half hour of two and a half days, and
// the last finding with an interval.
func (d days) severities(t *testing.T) (worst []analysis.Severity, last *analysis.Finding) {
	t.Helper()
	h := handmade.New(t, 30, 2)
	c := h.Add(observe.Cgroup, "/kubepods/pod1/api", observe.None, catalog.AttrContainerName, "api")
	h.Set(catalog.CgroupMemoryLimit, c, 512*mib)
	past := history.New(history.Options{Index: h.Index(), Wall: time.Unix(1_800_000_000, 0)})
	h.Remember(past)
	now, began := 0.0, 0.0
	random := rand.New(rand.NewPCG(1, 2))
	level := func() float64 { return (d.anon(now) + random.NormFloat64()) * mib }
	h.Vary(catalog.CgroupMemoryUsage, c, func(float64) float64 { return d.anon(now) * mib })
	differ, snap := observe.NewDiffer(h.Index()), observe.NewSnapshot(h.Index())
	var p observe.ID
	for lives := 0; now < 60*hour; now += 10 {
		if now == 0 || d.each > 0 && now-began >= d.each {
			if now > 0 {
				h.Index().Free([]observe.ID{p})
			}
			lives++
			began = now
			p = h.Process(fmt.Sprint(lives), d.runtime, "server", c)
		}
		snap.Reset()
		snap.Set(catalog.ProcessAnon, p, level())
		past.Add(differ.Step(snap), time.Duration(now)*time.Second)
		if math.Mod(now, hour/2) == 0 {
			worst = append(worst, analysis.Healthy)
			for _, f := range d.findings(h, p, now-began) {
				if worst[len(worst)-1] = max(worst[len(worst)-1], f.Severity); f.Forecast.Low != nil {
					last = f
				}
			}
		}
	}
	return worst, last
}

// findings returns the findings of a window in which memory is constant, so that they
// come from the history.
func (d days) findings(h *handmade.Host, p observe.ID, age float64) []*analysis.Finding {
	end := age
	h.Vary(catalog.ProcessAge, p, func(float64) float64 { return end })
	for _, m := range []*observe.Metric{catalog.ProcessAnon, catalog.ProcessMemory, catalog.ProcessMemoryPeak} {
		now := d.anonOf(h, p)
		h.Vary(m, p, func(float64) float64 { return now })
	}
	return h.Run(Analyzer).Findings
}

func (d days) anonOf(h *handmade.Host, p observe.ID) float64 {
	points := h.Past().Points(catalog.ProcessAnon, p, 60, 0)
	return points[len(points)-1].Value
}

func worstOf(all []analysis.Severity) analysis.Severity {
	worst := analysis.Healthy
	for _, s := range all {
		worst = max(worst, s)
	}
	return worst
}

// TestDays checks the severities of a leak and of look-alikes on the first day, and
// after it.
func TestDays(t *testing.T) {
	day := func(s float64) float64 { return 275 - 125*math.Cos(2*math.Pi*s/(24*hour)) }
	for name, c := range map[string]struct {
		days  days
		most  analysis.Severity // after the first day
		first analysis.Severity // on the first day
	}{
		"a leak of 6 MiB an hour":         {days{"", func(s float64) float64 { return 120 + 6*s/hour }, 0}, analysis.Warning, analysis.Info},
		"a collector's teeth of 5 hours":  {days{"jvm", func(s float64) float64 { return 150 + 200*math.Mod(s, 5*hour)/(5*hour) }, 0}, analysis.Healthy, analysis.Info},
		"teeth of 11 hours":               {days{"node", func(s float64) float64 { return 150 + 250*math.Mod(s, 11*hour)/(11*hour) }, 0}, analysis.Healthy, analysis.Info},
		"a cache that fills in ten hours": {days{"", func(s float64) float64 { return 150 + 250*(1-math.Exp(-s/(3*hour))) }, 0}, analysis.Healthy, analysis.Healthy},
		"a warm-up and then level":        {days{"", func(s float64) float64 { return 100 + 200*math.Min(1, s/(2*hour)) }, 0}, analysis.Healthy, analysis.Healthy},
		"a day's load, unknown":           {days{"", day, 0}, analysis.Healthy, analysis.Warning},
		"deployed each 12 hours":          {days{"", func(s float64) float64 { return 100 + 15*math.Mod(s, 12*hour)/hour }, 12 * hour}, analysis.Info, analysis.Warning},
	} {
		got, last := c.days.severities(t)
		first, later := worstOf(got[:48]), worstOf(got[48:])
		if first != c.first || later != c.most {
			t.Errorf("%s: %s on the first day and %s later, want %s and %s", name, first, later, c.first, c.most)
		}
		if last != nil {
			t.Logf("%s: %s", name, last.Summary)
		}
	}
}

// TestOneReading checks an agent that has just started: it has one reading, and none
// of connections.
func TestOneReading(t *testing.T) {
	h := handmade.New(t, 30, 2)
	c := h.Add(observe.Cgroup, "/kubepods/pod1/api", observe.None, catalog.AttrContainerName, "api")
	h.Set(catalog.CgroupMemoryLimit, c, 512*mib)
	h.Set(catalog.CgroupMemoryUsage, c, 400*mib)
	p := h.Process("1", "node", "server", c)
	h.Set(catalog.ProcessAnon, p, 390*mib)
	past := history.New(history.Options{Index: h.Index()})
	snap := observe.NewSnapshot(h.Index())
	snap.Set(catalog.ProcessAnon, p, 390*mib)
	past.Add(observe.NewDiffer(h.Index()).Step(snap), time.Second)
	h.Remember(past)
	if fs := h.Run(Analyzer).Findings; len(fs) > 0 {
		t.Errorf("finding: %s", fs[0].Summary)
	}
}
