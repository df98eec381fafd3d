// SPDX-License-Identifier: Apache-2.0

package memorygrowth

import (
	"math"
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

const mib = 1 << 20

// A life is one process under a limit of 512 MiB. Sizes are in MiB.
type life struct {
	runtime string
	age     float64 // at the end of 30 s
	peak    float64 // above its current memory
	cache   float64 // page cache of its container
	limit   float64 // 0 for 512
	anon    func(second float64) float64
}

func (l life) findings(t *testing.T) []*analysis.Finding {
	t.Helper()
	h := handmade.New(t, 30, 2)
	c := h.Add(observe.Cgroup, "/kubepods/pod1/api", observe.None, catalog.AttrContainerName, "api")
	p := h.Process("42", l.runtime, "server", c)
	limit := l.limit
	if limit == 0 {
		limit = 512
	}
	h.Set(catalog.CgroupMemoryLimit, c, limit*mib)
	bytes := func(more float64) func(float64) float64 {
		return func(s float64) float64 { return (l.anon(s) + more) * mib }
	}
	h.Vary(catalog.CgroupMemoryUsage, c, bytes(l.cache))
	h.Set(catalog.CgroupMemoryFile, c, l.cache*mib)
	h.Vary(catalog.CgroupMemoryAnon, c, bytes(0))
	h.Vary(catalog.ProcessAnon, p, bytes(0))
	h.Vary(catalog.ProcessMemory, p, bytes(40))
	h.Vary(catalog.ProcessMemoryPeak, p, bytes(40+l.peak))
	h.Vary(catalog.ProcessAge, p, func(s float64) float64 { return l.age - 30 + s })
	return h.Run(Analyzer).Findings
}

func line(from, rate float64) func(float64) float64 {
	return func(s float64) float64 { return from + rate*s }
}

func TestGrowth(t *testing.T) {
	for name, l := range map[string]life{
		"leak":                   {age: 600, anon: line(250, 4)},
		"leak beside page cache": {age: 600, cache: 100, anon: line(250, 4)},
	} {
		fs := l.findings(t)
		if len(fs) != 1 {
			t.Errorf("%s: %d findings, want one", name, len(fs))
			continue
		}
		f := fs[0]
		t.Log(f.Summary)
		if f.Cause != leak || f.Severity != analysis.Info || f.Confidence > plain {
			t.Errorf("%s: %s %s of %.2f", name, f.Severity, f.Cause, f.Confidence)
		}
		// 370 MiB in use, 142 MiB left, growth of 4 MiB/s.
		if math.Abs(f.Forecast.At-142.0/4) > 1 || f.Forecast.Low != nil || f.Forecast.High != nil {
			t.Errorf("%s: forecast = %+v, want 35.5 s without an interval", name, f.Forecast)
		}
	}
}

func TestSilence(t *testing.T) {
	for name, l := range map[string]life{
		"flat":                      {age: 600, anon: line(400, 0)},
		"too slow":                  {age: 600, anon: line(400, 0.2)},
		"far from the limit":        {age: 600, anon: line(20, 4)},
		"lasts long":                {age: 600, limit: 4096, anon: line(1500, 4)},
		"young":                     {age: 60, anon: line(250, 4)},
		"was faster before":         {age: 90, anon: line(350, 2)},
		"has been as large before":  {age: 600, peak: 120, anon: line(250, 4)},
		"step":                      {age: 600, anon: func(s float64) float64 { return 250 + 120*math.Floor(s/15) }},
		"sawtooth":                  {age: 600, anon: func(s float64) float64 { return 250 + 8*math.Mod(s, 10) }},
		"warm-up":                   {age: 600, anon: func(s float64) float64 { return 250 + 120*(1-math.Exp(-s/5)) }},
		"page cache of four fifths": {age: 600, cache: 400, anon: line(60, 2)},
	} {
		for _, f := range l.findings(t) {
			t.Errorf("%s: %s", name, f.Summary)
		}
	}
}

func TestCollectorsAreLessSure(t *testing.T) {
	fs := life{runtime: "node", age: 600, anon: line(250, 4)}.findings(t)
	if len(fs) != 1 || fs[0].Confidence > collected {
		t.Errorf("findings = %+v, want one of %v at most", fs, collected)
	}
}

func TestCache(t *testing.T) {
	fs := life{runtime: "redis", age: 600, anon: line(250, 4)}.findings(t)
	if len(fs) != 1 || fs[0].Cause != cache || fs[0].Recommendations[0].Quantity.Value != 384 {
		t.Errorf("findings = %+v, want a cache to be bound at 384 MiB", fs)
	}
}

// A crowd is a container with eight workers that use about 250 MiB at the start.
type crowd struct {
	each  func(second float64) float64 // MiB of one worker
	cache func(second float64) float64 // page cache
	shmem func(second float64) float64
	age   float64
	peak  float64 // MiB that each worker once held beyond that
}

func (c crowd) find(t *testing.T) *analysis.Finding {
	t.Helper()
	h := handmade.New(t, 10, 2)
	id := h.Add(observe.Cgroup, "/kubepods/pod1/api", observe.None, catalog.AttrContainerName, "api")
	h.Set(catalog.CgroupMemoryLimit, id, 512*mib)
	bytes := func(f func(float64) float64) func(float64) float64 {
		return func(s float64) float64 { return f(s) * mib }
	}
	anon := func(s float64) float64 { return 8 * c.each(s) }
	files := func(s float64) float64 { return c.cache(s) + c.shmem(s) }
	h.Vary(catalog.CgroupMemoryUsage, id, bytes(func(s float64) float64 { return anon(s) + files(s) }))
	h.Vary(catalog.CgroupMemoryAnon, id, bytes(anon))
	h.Vary(catalog.CgroupMemoryFile, id, bytes(files))
	h.Vary(catalog.CgroupMemoryShmem, id, bytes(c.shmem))
	for _, pid := range []string{"1", "2", "3", "4", "5", "6", "7", "8"} {
		p := h.Process(pid, "python", "worker", id)
		h.Vary(catalog.ProcessAnon, p, bytes(c.each))
		h.Vary(catalog.ProcessMemory, p, bytes(c.each))
		h.Vary(catalog.ProcessMemoryPeak, p, bytes(func(s float64) float64 { return c.each(s) + c.peak }))
		h.Set(catalog.ProcessAge, p, c.age)
	}
	return h.One(Analyzer)
}

// TestTogether checks growth of a container in which no single process grows much, or
// in which memory grows that belongs to no process.
func TestTogether(t *testing.T) {
	none, flat, grows := line(0, 0), line(30, 0), line(30, 0.6)
	for name, tt := range map[string]struct {
		crowd crowd
		want  string // in the summary; "" for no finding
	}{
		"workers":              {crowd{grows, none, none, 600, 0}, "has grown by"},
		"workers and a cache":  {crowd{grows, line(100, 0), none, 600, 0}, "has grown by"},
		"young workers":        {crowd{grows, none, none, 25, 0}, ""},
		"they slow down":       {crowd{grows, none, none, 40, 0}, ""},
		"tmpfs":                {crowd{flat, none, line(50, 5), 600, 0}, "tmpfs"},
		"a log that is cached": {crowd{flat, line(50, 5), none, 600, 0}, ""},
		"half of it is cache":  {crowd{line(30, 0.3), line(50, 3), none, 600, 0}, "has grown by 22 MiB"},
		"they were larger":     {crowd{grows, none, none, 600, 10}, ""},
		"a small peak before":  {crowd{line(10, 0), none, line(150, 5), 600, 1.2}, "tmpfs"},
	} {
		f := tt.crowd.find(t)
		switch {
		case f == nil && tt.want != "":
			t.Errorf("%s: silent", name)
		case f != nil && (tt.want == "" || !strings.Contains(f.Summary, tt.want)):
			t.Errorf("%s: %s, want %q", name, f.Summary, tt.want)
		case f != nil:
			t.Logf("%s: %s", name, f.Summary)
		}
	}
}
