// SPDX-License-Identifier: Apache-2.0

package hostsaturated

import (
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

const gib = 1 << 30

// short returns a host of 8 GiB with idle CPUs. Shares are of the window.
func short(t *testing.T, available, some, full, reclaim float64) *handmade.Host {
	h := handmade.New(t, 10, 2)
	h.Idle(2)
	h.Set(catalog.MemoryTotal, h.Node(), 8*gib)
	h.Set(catalog.HostMemoryAvailable, h.Node(), available)
	h.Set(catalog.HostMemorySome, h.Node(), some*10)
	h.Set(catalog.HostMemoryFull, h.Node(), full*10)
	h.Set(catalog.HostDirectReclaim, h.Node(), reclaim*10)
	return h
}

func TestMemory(t *testing.T) {
	for _, c := range []struct {
		name                           string
		available, some, full, reclaim float64
		want                           analysis.Severity
	}{
		{"a page cache that fills the rest", 7 * gib, 0, 0, 0, analysis.Healthy},
		{"a cgroup at its limit on a roomy host", 7 * gib, 0.8, 0.6, 0, analysis.Healthy},
		{"a cgroup at its limit, and a burst of reclaim", 7 * gib, 0.8, 0.6, 50, analysis.Healthy},
		{"full, and no task waits", 0.3 * gib, 0.01, 0, 0, analysis.Healthy},
		{"full, and waited for", 0.3 * gib, 0.15, 0.02, 5000, analysis.Warning},
		{"full, and every task waits", 0.3 * gib, 0.3, 0.2, 5000, analysis.Critical},
		{"dirty memory that tasks search through", 1.5 * gib, 0.15, 0, 5000, analysis.Warning},
	} {
		got := analysis.Healthy
		if f := short(t, c.available, c.some, c.full, c.reclaim).One(Analyzer); f != nil {
			got = f.Severity
			if f.Cause != memory {
				t.Errorf("%s: cause %s", c.name, f.Cause)
			}
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestReclaimThatFinds checks tasks that reclaim 5,000 pages per second themselves,
// while a fifth of the memory is available.
func TestReclaimThatFinds(t *testing.T) {
	for _, c := range []struct {
		name             string
		available, freed float64
		want             analysis.Severity
	}{
		{"a program frees the page cache that it no longer needs", 1.5 * gib, 4900, analysis.Healthy},
		{"most scanned pages are dirty", 1.5 * gib, 500, analysis.Critical},
		{"nothing is available", 0.3 * gib, 4900, analysis.Critical},
	} {
		h := short(t, c.available, 0.15, 0.07, 5000)
		h.Set(catalog.HostDirectlyFreed, h.Node(), c.freed*10)
		got := analysis.Healthy
		if f := h.One(Analyzer); f != nil {
			got = f.Severity
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestSwapInIsWaiting checks pages from swap that PSI counts as waits for a disk:
// 4,000 per second at 0.1 ms each.
func TestSwapInIsWaiting(t *testing.T) {
	for _, c := range []struct {
		name          string
		available, io float64
		want          bool
	}{
		{"short, and 40 % for swap", 0.3 * gib, 0.5, true},
		{"short, and hardly anybody waits for disks", 0.3 * gib, 0.05, false},
		{"there is room again", 4 * gib, 0.5, false},
	} {
		h := short(t, c.available, 0.01, 0, 0)
		h.Set(catalog.HostIOSome, h.Node(), c.io*10)
		h.Set(catalog.HostSwapIn, h.Node(), 40_000)
		d := h.Add(observe.Disk, "vda", h.Node())
		h.Set(catalog.DiskReads, d, 40_000)
		h.Set(catalog.DiskRead, d, 40_000*4096)
		h.Set(catalog.DiskReadTime, d, 4)
		f := h.One(Analyzer)
		if (f != nil) != c.want {
			t.Errorf("%s: finding = %+v, want one: %v", c.name, f, c.want)
		}
		if f != nil && !strings.Contains(f.Summary, "tasks wait for pages in swap 40% of the time") {
			t.Errorf("%s: %q", c.name, f.Summary)
		}
	}
}

func TestNodesForItsMemory(t *testing.T) {
	h := short(t, 0.25*gib, 0.5, 0.3, 9000)
	h.Set(catalog.HostSwapUsed, h.Node(), 6*gib)
	h.Set(catalog.HostSwapIn, h.Node(), 10_000)
	f := h.One(Analyzer)
	if f == nil {
		t.Fatal("no finding")
	}
	// 7.75 GiB in use and 6 GiB in swap, at 0.8 · 8 GiB per node: 3 nodes, 2 more.
	r := f.Recommendations[0]
	if r.Verb != analysis.AddNodes || r.Quantity.Value != 2 || *r.Quantity.Low != 2 || r.Quantity.High != nil {
		t.Errorf("advice = %s %+v, want 2 nodes at least", r.Verb, r.Quantity)
	}
	if !strings.Contains(f.Summary, "swap") {
		t.Errorf("no swap in %q", f.Summary)
	}
	t.Logf("%s\n-> %s", f.Summary, r.Action)
}

func TestMemoryWithoutPressure(t *testing.T) {
	h := handmade.New(t, 10, 2)
	h.Idle(2)
	h.Set(catalog.MemoryTotal, h.Node(), 8*gib)
	h.Set(catalog.HostMemoryAvailable, h.Node(), 0.3*gib)
	h.Set(catalog.HostDirectReclaim, h.Node(), 50_000)
	if f := h.One(Analyzer); f == nil || f.Severity != analysis.Warning || f.Confidence > 0.6 {
		t.Errorf("finding = %+v, want a warning that is not sure", f)
	}
}

// TestEachPartAlone checks that CPU and memory are evaluated separately: if one is
// skipped, the report says so.
func TestEachPartAlone(t *testing.T) {
	h := handmade.New(t, 10, 2)
	h.Idle(0.1)
	h.Set(catalog.HostCPUSome, h.Node(), 5)
	onlyCPU := h.Run(Analyzer)
	h = handmade.New(t, 10, 2)
	h.Set(catalog.MemoryTotal, h.Node(), 8*gib)
	h.Set(catalog.HostMemoryAvailable, h.Node(), 0.3*gib)
	h.Set(catalog.HostMemorySome, h.Node(), 5)
	onlyMemory := h.Run(Analyzer)
	for want, r := range map[string]*analysis.Result{cpu: onlyCPU, memory: onlyMemory} {
		if len(r.Findings) != 1 || r.Findings[0].Cause != want || len(r.Skipped) != 1 {
			t.Errorf("%d findings, skipped %v, want one of %s and the rest skipped", len(r.Findings), r.Skipped, want)
		}
	}
	if r := handmade.New(t, 10, 2).Run(Analyzer); len(r.Skipped) != 1 || len(r.Checked) != 0 {
		t.Errorf("skipped %v, checked %v, want the question skipped as a whole", r.Skipped, r.Checked)
	}
}
