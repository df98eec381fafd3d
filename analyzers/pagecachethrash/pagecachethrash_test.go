// SPDX-License-Identifier: Apache-2.0

package pagecachethrash

import (
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// rereads returns a host that reads 1,000 pages per second at 0.5 ms each, some of
// which had been evicted while in use.
func rereads(t *testing.T, refaults, thrash, waiting float64) *handmade.Host {
	h := handmade.New(t, 10, 2)
	d := h.Add(observe.Disk, "sda", h.Node())
	h.Set(catalog.DiskReads, d, 10_000)
	h.Set(catalog.DiskRead, d, 10_000*facts.PageBytes)
	h.Set(catalog.DiskReadTime, d, 5)
	h.Set(catalog.HostRefaults, h.Node(), refaults*10)
	h.Set(catalog.HostThrash, h.Node(), thrash*10)
	h.Set(catalog.HostIOSome, h.Node(), waiting*10)
	return h
}

func TestBoundaries(t *testing.T) {
	for _, c := range []struct {
		name                      string
		refaults, thrash, waiting float64
		want                      analysis.Severity
	}{
		{"a sequential scan: turnover", 1000, 0, 0.5, analysis.Healthy},
		{"4 % of the time", 1000, 80, 0.5, analysis.Healthy},
		{"6 % of the time", 1000, 120, 0.5, analysis.Warning},
		{"40 % of the time", 1000, 800, 0.5, analysis.Critical},
		{"read ahead in time: no task waits", 1000, 800, 0.01, analysis.Healthy},
	} {
		got := analysis.Healthy
		if f := rereads(t, c.refaults, c.thrash, c.waiting).One(Analyzer); f != nil {
			got = f.Severity
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestAtLeast checks that a page that is read twice is counted once: only as many
// reads are counted as fit the cache.
func TestAtLeast(t *testing.T) {
	h := rereads(t, 1000, 800, 0.5)
	h.Set(catalog.HostMemoryCached, h.Node(), 2000*facts.PageBytes) // two seconds of reads
	q := h.One(Analyzer).Recommendations[0].Quantity
	if want := 2 * 800.0 * facts.PageBytes; q.Value != want || *q.Low != want || q.High != nil {
		t.Errorf("memory = %+v, want at least %v bytes", q, want)
	}
}

// TestSeveralDisks checks that the summary mentions several disks if it is not known
// which one the pages come from.
func TestSeveralDisks(t *testing.T) {
	for _, tt := range []struct {
		reads float64 // of another disk
		mixed bool
	}{{100, false}, {5000, true}} {
		h := rereads(t, 1000, 800, 0.5)
		d := h.Add(observe.Disk, "sdb", h.Node())
		h.Set(catalog.DiskReads, d, tt.reads)
		h.Set(catalog.DiskRead, d, tt.reads*facts.PageBytes)
		h.Set(catalog.DiskReadTime, d, tt.reads*0.5e-3)
		f := h.One(Analyzer)
		if f == nil || strings.Contains(f.Summary, "several disks") != tt.mixed || (f.Confidence < 0.7) != tt.mixed {
			t.Errorf("%v reads of another disk: %+v, want it said %v", tt.reads, f, tt.mixed)
		}
	}
}

func TestAGroupAtItsLimit(t *testing.T) {
	for _, own := range []bool{true, false} {
		h := rereads(t, 1000, 800, 0.5)
		c := h.Add(observe.Cgroup, "/search", h.Node(), catalog.AttrContainerName, "search")
		h.Set(catalog.CgroupMemoryLimit, c, 128<<20)
		h.Set(catalog.CgroupRefaults, c, 9_500)
		if own {
			h.Set(catalog.CgroupThrash, c, 7_900)
		}
		f := h.One(Analyzer)
		if f == nil || f.Subject != c {
			t.Fatalf("finding = %+v, want one, of the group and not of the host", f)
		}
		if sure := f.Confidence > 0.75; sure && !own {
			t.Errorf("confidence = %v of a share of the host's", f.Confidence)
		}
		t.Logf("%s\n-> %s", f.Summary, f.Recommendations[0].Action)
	}
}

// TestAGroupBelowTheBound checks a group at its limit that thrashes for 4.5 % of the time:
// this is not the host's either, of whose 6 % it is a part.
func TestAGroupBelowTheBound(t *testing.T) {
	h := rereads(t, 1000, 120, 0.5)
	c := h.Add(observe.Cgroup, "/search", h.Node(), catalog.AttrContainerName, "search")
	h.Set(catalog.CgroupMemoryLimit, c, 128<<20)
	h.Set(catalog.CgroupRefaults, c, 7_500)
	if f := h.One(Analyzer); f != nil {
		t.Errorf("finding = %+v, want none", f)
	}
}

func TestNobodyIsServed(t *testing.T) {
	h := rereads(t, 1000, 800, 0.5)
	h.Set(catalog.ProcessDiskRead, h.Process("7", "", "grep", observe.None), 1e6)
	if f := h.One(Analyzer); f == nil || f.Severity != analysis.Info {
		t.Errorf("finding = %+v, want an info", f)
	}
}

// TestADeviceOnAnother checks that a read of a device on top of another is counted
// once, with the latency of the upper device.
func TestADeviceOnAnother(t *testing.T) {
	h := rereads(t, 1000, 800, 1)
	upper := h.Add(observe.Disk, "dm-0", h.Node(), catalog.AttrOn, "sda")
	h.Set(catalog.DiskReads, upper, 10_000)
	h.Set(catalog.DiskRead, upper, 10_000*facts.PageBytes)
	h.Set(catalog.DiskReadTime, upper, 10)
	f := h.One(Analyzer)
	if f == nil || f.Impact < 0.79 || f.Impact > 0.81 {
		t.Errorf("finding = %+v, want an impact of 0.8: 800 reads of a millisecond", f)
	}
}
