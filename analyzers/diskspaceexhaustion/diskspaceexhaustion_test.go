// SPDX-License-Identifier: Apache-2.0

package diskspaceexhaustion

import (
	"math"
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

const mebibyte = 1 << 20

func flat(n float64) func(int) float64 { return func(int) float64 { return n } }

// disk returns a file system of a size whose usage is known at each second.
func disk(t *testing.T, size float64, used func(int) float64) (*handmade.Host, observe.ID) {
	h := handmade.New(t, 30, 2)
	fs := h.Add(observe.Filesystem, "8:1", h.Node(), catalog.AttrMountpoint, "/data", catalog.AttrFilesystem, "ext4", catalog.AttrDevice, "/dev/sda1")
	h.Each(catalog.FilesystemUsed, fs, used)
	h.Each(catalog.FilesystemFree, fs, func(s int) float64 { return size - used(s) })
	return h, fs
}

// open adds a process with open files on the file system.
func open(h *handmade.Host, pid, path string, size, deleted func(int) float64) observe.ID {
	process := h.Process(pid, "python", "python3 app.py", observe.None)
	files := h.Add(observe.OpenFiles, pid+":1/8:1", process, catalog.AttrMountpoint, "/data", catalog.AttrFile, path)
	h.Each(catalog.OpenFilesSize, files, size)
	h.Each(catalog.OpenFilesDeleted, files, deleted)
	return process
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

func TestLogThatGrows(t *testing.T) {
	used := func(s int) float64 { return (600 + float64(s)) * mebibyte }
	h, _ := disk(t, 1000*mebibyte, used)
	process := open(h, "42", "/data/app.log", func(s int) float64 { return used(s) - 590*mebibyte }, flat(0))
	f := h.One(Analyzer)
	want(t, f, analysis.Critical, growth, analysis.RotateLogs)
	// 630 MiB are used at the end, and one is added per second.
	if f.Forecast == nil || math.Abs(f.Forecast.At-370) > 1 || f.Forecast.Low == nil || f.Forecast.High == nil {
		t.Errorf("forecast = %+v, want 370 s with its interval", f.Forecast)
	}
	if !strings.Contains(f.Summary, "/data/app.log") || len(f.Blame) == 0 || f.Blame[0].Subject != process {
		t.Errorf("the log or its writer is missing: %s", f.Summary)
	}
}

func TestWriterWithoutOpenFiles(t *testing.T) {
	h, _ := disk(t, 1000*mebibyte, func(s int) float64 { return (600 + float64(s)) * mebibyte })
	h.Set(catalog.ProcessDiskWritten, h.Process("42", "", "rsync", observe.None), 31*mebibyte)
	f := h.One(Analyzer)
	want(t, f, analysis.Critical, growth, analysis.FreeSpace)
	if !strings.Contains(f.Summary, "rsync (pid 42) writes") {
		t.Errorf("the writer is missing: %s", f.Summary)
	}
}

// TestBurstsAreForecast checks the time to full if the disk fills in bursts.
func TestBurstsAreForecast(t *testing.T) {
	for _, period := range []int{2, 3, 5, 7} {
		h, _ := disk(t, 1000*mebibyte, func(s int) float64 { return (600 + float64(period*(s/period))) * mebibyte })
		f := h.One(Analyzer)
		if f == nil || f.Forecast == nil {
			t.Errorf("bursts every %d s: no forecast", period)
			continue
		}
		if at := f.Forecast.At; math.Abs(at-370)/370 > 0.15 {
			t.Errorf("bursts every %d s: full in %.0f s, want 370 within 15 %%", period, at)
		}
	}
}

func TestDeletedFiles(t *testing.T) {
	h, fs := disk(t, 1000*mebibyte, flat(980*mebibyte))
	h.Set(catalog.FilesystemDeleted, fs, 600*mebibyte)
	process := open(h, "42", "/data/old.log", flat(600*mebibyte), flat(600*mebibyte))
	f := h.One(Analyzer)
	want(t, f, analysis.Warning, deletedButOpen, analysis.FreeSpace)
	if len(f.Blame) == 0 || f.Blame[0].Subject != process || !strings.Contains(f.Summary, "600 MiB of it are deleted files") {
		t.Errorf("the holder is missing: %s", f.Summary)
	}
}

func TestFull(t *testing.T) {
	h, _ := disk(t, 1000*mebibyte, func(s int) float64 { return min(1000, 900+10*float64(s)) * mebibyte })
	f := h.One(Analyzer)
	want(t, f, analysis.Critical, growth, analysis.FreeSpace)
	if !isFull(f) || f.Forecast != nil {
		t.Errorf("a full disk: %s, forecast %+v", f.Summary, f.Forecast)
	}
}

func TestInodes(t *testing.T) {
	h, fs := disk(t, 1000*mebibyte, flat(100*mebibyte))
	h.Set(catalog.FilesystemInodesUsed, fs, 65_536)
	h.Set(catalog.FilesystemInodesFree, fs, 0)
	want(t, h.One(Analyzer), analysis.Critical, inodes, analysis.FreeSpace)
}

func TestShares(t *testing.T) {
	for _, c := range []struct {
		size, used float64 // MiB
		want       analysis.Severity
	}{
		{1000, 949, analysis.Healthy}, {1000, 950, analysis.Warning}, {1000, 989, analysis.Warning}, {1000, 990, analysis.Critical},
		{10 << 20, 9.6 * (1 << 20), analysis.Healthy}, // 400 GiB are free
	} {
		h, _ := disk(t, c.size*mebibyte, flat(c.used*mebibyte))
		got := analysis.Healthy
		if f := h.One(Analyzer); f != nil {
			got = f.Severity
		}
		if got != c.want {
			t.Errorf("%v of %v MiB = %s, want %s", c.used, c.size, got, c.want)
		}
	}
}

func TestGrowthThatIsNoShortage(t *testing.T) {
	for name, used := range map[string]func(int) float64{
		"log rotation":                 func(s int) float64 { return 600 + 10*float64(s%8) },
		"a temporary file":             func(s int) float64 { return map[bool]float64{true: 900, false: 400}[s > 10 && s < 20] },
		"a file that is written":       func(s int) float64 { return min(900, 400+60*float64(s)) },
		"an import into an empty disk": func(s int) float64 { return 100 + 5*float64(s) },
		"growth that ends far ahead":   func(s int) float64 { return 600 + 0.001*float64(s) },
	} {
		h, _ := disk(t, 1000*mebibyte, func(s int) float64 { return used(s) * mebibyte })
		if f := h.One(Analyzer); f != nil {
			t.Errorf("%s: %s", name, f.Summary)
		}
	}
}
