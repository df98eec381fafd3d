// SPDX-License-Identifier: Apache-2.0

package heaplimitmismatch

import (
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

// A shape is one process in a container in a pod. Sizes are in MiB, 0 for none.
type shape struct {
	runtime                string
	container, pod         float64 // limits
	configured, byDefault  float64
	anon, usage, pageCache float64
}

func (s shape) find(t *testing.T) *analysis.Finding {
	t.Helper()
	h := handmade.New(t, 10, 2)
	pod := h.Add(observe.Cgroup, "/kubepods/pod1", observe.None, catalog.AttrPodName, "shop")
	c := h.Add(observe.Cgroup, "/kubepods/pod1/api", pod, catalog.AttrContainerName, "api")
	other := h.Add(observe.Cgroup, "/other", observe.None)
	process := h.Process("42", s.runtime, "server", c)
	set := func(m *observe.Metric, id observe.ID, v float64) {
		if v > 0 {
			h.Set(m, id, v*mib)
		}
	}
	set(catalog.CgroupMemoryLimit, other, 1)
	set(catalog.CgroupMemoryLimit, c, s.container)
	set(catalog.CgroupMemoryLimit, pod, s.pod)
	for _, id := range []observe.ID{c, pod} {
		set(catalog.CgroupMemoryUsage, id, s.usage)
		set(catalog.CgroupMemoryFile, id, s.pageCache)
	}
	set(catalog.ProcessHeapLimit, process, s.configured)
	set(catalog.ProcessHeapLimitDefault, process, s.byDefault)
	set(catalog.ProcessAnon, process, s.anon)
	return h.One(Analyzer)
}

func TestCeilingAgainstLimit(t *testing.T) {
	for _, tt := range []struct {
		name     string
		shape    shape
		cause    string
		severity analysis.Severity
		to       float64 // MiB
	}{
		{"the floor of V8 in 256 MiB", shape{runtime: "node", container: 256, byDefault: 256, anon: 40, usage: 80}, aboveLimit, analysis.Info, 192},
		{"the same, nearly full", shape{runtime: "node", container: 256, byDefault: 256, anon: 180, usage: 230}, aboveLimit, analysis.Warning, 192},
		{"the same, full of page cache", shape{runtime: "node", container: 256, byDefault: 256, anon: 40, usage: 250, pageCache: 200}, aboveLimit, analysis.Info, 192},
		{"the same, full of other processes", shape{runtime: "node", container: 256, byDefault: 256, anon: 60, usage: 250}, aboveLimit, analysis.Info, 192},
		{"the pod's limit is lower", shape{runtime: "node", container: 2048, pod: 512, configured: 1024, anon: 400, usage: 450}, aboveLimit, analysis.Warning, 384},
		{"V8's default in 1 GiB", shape{runtime: "node", container: 1024, byDefault: 512, anon: 400, usage: 500}, "", 0, 0},
		{"as advised", shape{runtime: "node", container: 256, configured: 192, anon: 180, usage: 240}, "", 0, 0},
		{"as advised in a tiny one", shape{runtime: "node", container: 128, configured: 96, anon: 60, usage: 120}, "", 0, 0},
		{"85 %", shape{runtime: "jvm", container: 1024, configured: 870, anon: 800, usage: 900}, "", 0, 0},
		{"-Xmx of all", shape{runtime: "jvm", container: 1024, configured: 1024, anon: 100, usage: 900}, aboveLimit, analysis.Info, 768},
		{"Go's soft limit", shape{runtime: "go", container: 512, configured: 500, anon: 400, usage: 480}, "", 0, 0},
		{"Go's beyond", shape{runtime: "go", container: 512, configured: 1024, anon: 450, usage: 480}, aboveLimit, analysis.Warning, 460},
		{"no limit", shape{runtime: "node", byDefault: 4096, anon: 3000}, "", 0, 0},
		{"no ceiling", shape{runtime: "node", container: 256, anon: 200, usage: 240}, "", 0, 0},
		{"a quarter and full", shape{runtime: "jvm", container: 2048, byDefault: 512, anon: 530, usage: 600}, farBelow, analysis.Info, 1536},
		{"a quarter and half empty", shape{runtime: "jvm", container: 2048, byDefault: 512, anon: 300, usage: 400}, "", 0, 0},
		{"a quarter beside three others", shape{runtime: "node", container: 2048, configured: 512, anon: 560, usage: 1900}, "", 0, 0},
		{"buffers", shape{runtime: "node", container: 4096, configured: 256, anon: 900, usage: 1000}, "", 0, 0},
		{"usage not known", shape{runtime: "jvm", container: 2048, byDefault: 512, anon: 530}, "", 0, 0},
	} {
		f := tt.shape.find(t)
		if f == nil {
			if tt.cause != "" {
				t.Errorf("%s: silent, want %s", tt.name, tt.cause)
			}
			continue
		}
		if f.Cause != tt.cause || f.Severity != tt.severity {
			t.Errorf("%s: %s %s, want %s %q: %s", tt.name, f.Severity, f.Cause, tt.severity, tt.cause, f.Summary)
			continue
		}
		r := f.Recommendations[0]
		t.Logf("%s\n-> %s", f.Summary, r.Action)
		if r.Quantity.Value != tt.to {
			t.Errorf("%s: ceiling = %v MiB, want %v", tt.name, r.Quantity.Value, tt.to)
		}
	}
}

// TestWhoseLimit checks that the text names the owner of the limit.
func TestWhoseLimit(t *testing.T) {
	f := shape{runtime: "node", container: 2048, pod: 512, configured: 1024, anon: 400, usage: 450}.find(t)
	if f == nil || !strings.Contains(f.Summary, "pod shop") {
		t.Errorf("finding = %+v, want the pod's limit", f)
	}
}
