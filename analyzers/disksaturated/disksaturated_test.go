// SPDX-License-Identifier: Apache-2.0

package disksaturated

import (
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

// full returns a host of two CPUs with a disk that is always busy with writes: rate
// requests per second, each with this duration and size.
func full(t *testing.T, rate, seconds, bytes, some float64) (*handmade.Host, observe.ID) {
	h := handmade.New(t, 10, 2)
	d := h.Add(observe.Disk, "sda", h.Node())
	h.Set(catalog.DiskReads, d, 0)
	h.Set(catalog.DiskReadTime, d, 0)
	h.Set(catalog.DiskRead, d, 0)
	h.Set(catalog.DiskWrites, d, rate*10)
	h.Set(catalog.DiskWriteTime, d, rate*seconds*10)
	h.Set(catalog.DiskQueueTime, d, rate*seconds*10)
	h.Set(catalog.DiskWritten, d, rate*bytes*10)
	h.Set(catalog.DiskBusy, d, 10)
	h.Set(catalog.HostIOSome, h.Node(), some*10)
	h.Set(catalog.HostIOFull, h.Node(), some*5)
	return h, d
}

// uses adds a process with the given number of threads that wait for the disk.
func uses(h *handmade.Host, pid, command string, waiting, bytes float64) observe.ID {
	p := h.Process(pid, "", command, observe.None)
	h.Set(catalog.ProcessDiskWaiting, p, waiting)
	h.Set(catalog.ProcessDiskWritten, p, bytes*10)
	return p
}

func TestBoundaries(t *testing.T) {
	for _, c := range []struct {
		name                 string
		rate, seconds, bytes float64
		some                 float64
		want                 analysis.Severity
		cause                string
	}{
		{"always busy, one request at a time", 100, 0.010, 4096, 0.9, analysis.Healthy, ""},
		{"always busy with many requests that are quick", 50_000, 0.0005, 4096, 0.9, analysis.Healthy, ""},
		{"slow, and hardly anybody waits", 200, 0.05, 4096, 0.02, analysis.Warning, latency},
		{"slow small requests", 200, 0.05, 4096, 0.2, analysis.Warning, latency},
		{"slow, and the host stands still", 200, 0.05, 4096, 0.8, analysis.Critical, latency},
		{"slow large requests", 100, 0.05, 1 << 20, 0.2, analysis.Warning, throughput},
	} {
		h, _ := full(t, c.rate, c.seconds, c.bytes, c.some)
		uses(h, "7", "backup", c.rate*c.seconds-1, c.rate*c.bytes)
		server := uses(h, "8", "server", 1, 0)
		h.Set(catalog.ProcessListens, server, 1)
		got, cause := analysis.Healthy, ""
		if f := h.One(Analyzer); f != nil {
			got, cause = f.Severity, f.Cause
			if f.Blame[0].Share < 0.5 || !strings.HasPrefix(f.Summary, "server (pid 8) waits") {
				t.Errorf("%s: %q, blame %+v", c.name, f.Summary, f.Blame)
			}
		}
		if got != c.want || cause != c.cause {
			t.Errorf("%s: %s %s, want %s %s", c.name, got, cause, c.want, c.cause)
		}
	}
}

// TestABatchAlone checks that a batch job alone on its disk is at most info.
func TestABatchAlone(t *testing.T) {
	h, _ := full(t, 200, 0.05, 4096, 0.9)
	uses(h, "7", "backup", 10, 200*4096)
	if f := h.One(Analyzer); f == nil || f.Severity != analysis.Info {
		t.Errorf("finding = %+v, want an info", f)
	}
}

// TestADatabaseThatFillsItsDisk checks a database that delays itself: the advice is
// more disks.
func TestADatabaseThatFillsItsDisk(t *testing.T) {
	h, _ := full(t, 200, 0.05, 4096, 0.9)
	h.Set(catalog.ProcessListens, uses(h, "7", "database", 10, 200*4096), 1)
	f := h.One(Analyzer)
	if f == nil || f.Severity != analysis.Critical {
		t.Fatalf("finding = %+v, want critical", f)
	}
	// 50 ms per request, 10 ms on 5 disks: 4 more disks, at least one.
	if q := f.Recommendations[0].Quantity; q.Value != 4 || *q.Low != 1 || q.High != nil {
		t.Errorf("disks = %+v, want 4 (from 1)", q)
	}
	t.Logf("%s\n-> %s", f.Summary, f.Recommendations[0].Action)
}

func TestADeviceOnAFullDisk(t *testing.T) {
	h, _ := full(t, 200, 0.05, 4096, 0.9)
	uses(h, "7", "backup", 10, 200*4096)
	upper := h.Add(observe.Disk, "dm-0", h.Node(), catalog.AttrOn, "sda")
	h.Set(catalog.DiskQueueTime, upper, 100)
	h.Set(catalog.DiskBusy, upper, 10)
	h.Set(catalog.DiskWrites, upper, 2000)
	h.Set(catalog.DiskWriteTime, upper, 100)
	if f := h.One(Analyzer); f == nil || !strings.Contains(f.Summary, "disk sda") {
		t.Errorf("finding = %+v, want one, of the lower disk", f)
	}
}

// TestReadsOfWorkingPages checks that reads of evicted working set pages are a
// symptom of too little memory.
func TestReadsOfWorkingPages(t *testing.T) {
	h := handmade.New(t, 10, 2)
	d := h.Add(observe.Disk, "sda", h.Node())
	for m, v := range map[*observe.Metric]float64{catalog.DiskReads: 2000, catalog.DiskWrites: 0, catalog.DiskReadTime: 60, catalog.DiskWriteTime: 0,
		catalog.DiskRead: 2000 * 4096, catalog.DiskWritten: 0, catalog.DiskQueueTime: 60, catalog.DiskBusy: 10} {
		h.Set(m, d, v)
	}
	h.Set(catalog.HostThrash, h.Node(), 1800)
	h.Set(catalog.HostIOSome, h.Node(), 5)
	f := h.One(Analyzer)
	if f == nil || f.Recommendations[0].Verb != analysis.AddMemory || *f.Recommendations[0].Quantity.Low != 1800*4096 {
		t.Fatalf("finding = %+v, want memory", f)
	}
	if f.Without([]string{"page-cache-thrash"}) {
		t.Error("it stands without the reads that memory was too small for")
	}
}
