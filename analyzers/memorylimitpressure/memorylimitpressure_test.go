// SPDX-License-Identifier: Apache-2.0

package memorylimitpressure

import (
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
	"github.com/headroom-project/headroom/analyzers/eventloopblocked"
	"github.com/headroom-project/headroom/analyzers/facts"
)

const mib = 1 << 20

// container returns a container that hit its limit of 100 MiB: file MiB of it are page
// cache, and the rest cannot be reclaimed.
func container(t *testing.T, file float64) (*handmade.Host, observe.ID) {
	h := handmade.New(t, 10, 2)
	c := h.Add(observe.Cgroup, "/kubepods/pod1/api", observe.None, catalog.AttrContainerName, "api")
	h.Set(catalog.CgroupMemoryLimit, c, 100*mib)
	h.Set(catalog.CgroupMemoryUsage, c, 100*mib)
	h.Set(catalog.CgroupMemoryFile, c, file*mib)
	h.Set(catalog.CgroupMaxEvents, c, 500)
	return h, c
}

func pressure(h *handmade.Host, c observe.ID, some, full float64) {
	h.Set(catalog.CgroupMemorySome, c, some*10)
	h.Set(catalog.CgroupMemoryFull, c, full*10)
}

func TestPressure(t *testing.T) {
	for _, tt := range []struct {
		name             string
		file, some, full float64
		refaults         float64 // pages per second
		want             analysis.Severity
		cause            string
		limit            float64 // MiB
	}{
		{"anonymous memory", 5, 0.2, 0.01, 0, analysis.Warning, limitTooLow, 128},
		{"every task waits", 5, 0.2, 0.06, 0, analysis.Critical, limitTooLow, 128},
		{"little pressure", 5, 0.09, 0.04, 0, analysis.Healthy, "", 0},
		{"files are read again", 60, 0.2, 0.01, 5000, analysis.Warning, pageCache, 144},
		{"a file is read once", 60, 0.2, 0.2, 0, analysis.Healthy, "", 0},
	} {
		h, c := container(t, tt.file)
		pressure(h, c, tt.some, tt.full)
		h.Set(catalog.CgroupRefaults, c, tt.refaults*10)
		f := h.One(Analyzer)
		if tt.want == analysis.Healthy {
			if f != nil {
				t.Errorf("%s: %s", tt.name, f.Summary)
			}
			continue
		}
		if f == nil || f.Severity != tt.want || f.Cause != tt.cause || f.Confidence < 0.7 {
			t.Errorf("%s: finding = %+v, want %s %s", tt.name, f, tt.want, tt.cause)
			continue
		}
		if got := f.Recommendations[0].Quantity.Value / mib; got != tt.limit {
			t.Errorf("%s: limit = %v MiB, want %v", tt.name, got, tt.limit)
		}
		t.Log(f.Summary)
	}
}

func TestWithoutPressureOfCgroups(t *testing.T) {
	h, c := container(t, 60)
	h.Set(catalog.CgroupRefaults, c, 50_000)
	if f := h.One(Analyzer); f == nil || f.Severity != analysis.Warning || f.Confidence > unsure {
		t.Errorf("finding = %+v, want a warning of little confidence", f)
	}
	h, c = container(t, 60)
	h.Set(catalog.CgroupRefaults, c, 1000)
	if f := h.One(Analyzer); f != nil {
		t.Errorf("finding: %s", f.Summary)
	}
}

// TestARefaultCostsWhatTheDisksTook checks the cost of 1,000 refaults per second on
// several disks.
func TestARefaultCostsWhatTheDisksTook(t *testing.T) {
	for _, tt := range []struct {
		name                  string
		reads, pages, latency float64
		want                  bool
	}{
		{"a page at a time, 0.2 ms", 1000, 1, 200e-6, true},
		{"a page at a time, 0.03 ms", 1000, 1, 30e-6, false},
		{"read ahead: 32 pages in 0.5 ms", 50, 32, 500e-6, false},
		{"a disk of 10 ms that did not read them", 10, 1, 10e-3, true},
	} {
		h, c := container(t, 60)
		pressure(h, c, 0.2, 0.01)
		h.Set(catalog.CgroupRefaults, c, 10_000)
		d := h.Add(observe.Disk, "sda", h.Node())
		h.Set(catalog.DiskReads, d, 10*tt.reads)
		h.Set(catalog.DiskRead, d, 10*tt.reads*tt.pages*facts.PageBytes)
		h.Set(catalog.DiskReadTime, d, 10*tt.reads*tt.latency)
		if f := h.One(Analyzer); (f != nil) != tt.want {
			t.Errorf("%s: finding = %+v, want one: %v", tt.name, f, tt.want)
		}
	}
}

func TestNeverHitIsSilent(t *testing.T) {
	h, c := container(t, 5)
	h.Set(catalog.CgroupMaxEvents, c, 0)
	pressure(h, c, 0.5, 0.5)
	if f := h.One(Analyzer); f != nil {
		t.Errorf("finding: %s", f.Summary)
	}
}

func TestMemoryHighIsNamed(t *testing.T) {
	h, c := container(t, 5)
	h.Set(catalog.CgroupMaxEvents, c, 0)
	h.Set(catalog.CgroupMemoryHigh, c, 96*mib)
	h.Set(catalog.CgroupHighEvents, c, 900)
	pressure(h, c, 0.8, 0.7)
	f := h.One(Analyzer)
	if f == nil || !strings.Contains(f.Summary, "memory.high is 96 MiB") || !strings.Contains(f.Recommendations[0].Action, "memory.high") {
		t.Errorf("finding = %+v, want memory.high named", f)
	}
}

// TestStallFoldsUnderTheLimit checks that the stall of a loop that memory.high puts to
// sleep is a symptom of the limit.
func TestStallFoldsUnderTheLimit(t *testing.T) {
	h, c := container(t, 5)
	pressure(h, c, 0.9, 0.9)
	server := h.Process("42", "redis", "redis-server", c)
	h.Set(catalog.ProcessListens, server, 1)
	h.Ticks(h.Loop(server), 25, 0.3, observe.Parts{CPU: 0.5, Blocked: 6, PageFault: 1})
	r := h.Run(eventloopblocked.Analyzer, Analyzer)
	if len(r.Findings) != 2 || r.Findings[0].Analyzer != Analyzer || r.Findings[1].SymptomOf != r.Findings[0] {
		t.Errorf("findings = %+v, want the stall under the limit", r.Findings)
	}
}

// TestSleepAboveHighIsAPageFault checks the same sleep where it usually occurs: at the
// end of a page fault in which no page was read.
func TestSleepAboveHighIsAPageFault(t *testing.T) {
	h, c := container(t, 5)
	pressure(h, c, 0.9, 0.9)
	server := h.Process("42", "redis", "redis-server", c)
	h.Set(catalog.ProcessListens, server, 1)
	h.Ticks(h.Loop(server), 6, 1.3, observe.Parts{CPU: 0.1, PageFault: 7.8})
	r := h.Run(eventloopblocked.Analyzer, Analyzer)
	if len(r.Findings) != 2 || r.Findings[1].SymptomOf != r.Findings[0] {
		t.Fatalf("findings = %+v, want the stall under the limit", r.Findings)
	}
	if a := r.Findings[1].Recommendations[0].Action; !strings.Contains(a, "cgroup of redis-server") {
		t.Errorf("action = %q, want the cgroup's memory", a)
	}
}

// TestAFileReadFromEndToEnd checks that without pressure, refaults of pages that are
// used once are not a finding, and refaults of a working set are.
func TestAFileReadFromEndToEnd(t *testing.T) {
	for inactive, want := range map[float64]bool{60: false, 59: false, 30: true} {
		h, c := container(t, 60)
		h.Set(catalog.CgroupMemoryInactiveFile, c, inactive*mib)
		h.Set(catalog.CgroupRefaults, c, 11000*10)
		if f := h.One(Analyzer); (f != nil) != want {
			t.Errorf("with %v of 60 MiB inactive, finding = %+v, want one: %t", inactive, f, want)
		}
	}
}
