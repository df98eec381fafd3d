// SPDX-License-Identifier: Apache-2.0

package pagecachethrash

import (
	"bytes"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest"
	"github.com/headroom-project/headroom/analyzers/memorylimitpressure"
)

// TestALimitIsTheRoot checks both recorded groups whose files do not fit their limit:
// the limit is the root cause, and thrashing its symptom.
func TestALimitIsTheRoot(t *testing.T) {
	for _, file := range []string{"testdata/container.txtar", filepath.Join("..", "memorylimitpressure", "testdata", "page-cache.txtar")} {
		content, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(content.Files, func(f txtar.File) bool { return f.Name == "recording" })
		w, host, err := analysistest.Window(bytes.NewReader(content.Files[i].Data))
		if err != nil {
			t.Fatal(err)
		}
		r := analysis.Run([]*analysis.Analyzer{Analyzer, memorylimitpressure.Analyzer}, w, host, analysis.Options{})
		roots := 0
		for _, f := range r.Findings {
			t.Logf("%s: %s: %s (symptom: %v, confidence %.2f)", file, f.Analyzer.Name, f.Summary, f.SymptomOf != nil, f.Confidence)
			if f.SymptomOf == nil {
				roots++
			}
		}
		if roots != 1 || r.Findings[0].Analyzer != memorylimitpressure.Analyzer {
			t.Errorf("%s: %d roots, want the limit alone", file, roots)
		}
	}
}

// TestTheHostsMemoryIsNoLimit checks that thrashing of the host is not a symptom of a
// group at its limit.
func TestTheHostsMemoryIsNoLimit(t *testing.T) {
	h := rereads(t, 1000, 800, 0.5)
	c := h.Add(catalog.CgroupMemoryLimit.About, "/batch", h.Node(), catalog.AttrContainerName, "batch")
	h.Set(catalog.CgroupMemoryLimit, c, 100<<20)
	h.Set(catalog.CgroupMemoryUsage, c, 100<<20)
	h.Set(catalog.CgroupMaxEvents, c, 500)
	h.Set(catalog.CgroupMemorySome, c, 5)
	r := h.Run(Analyzer, memorylimitpressure.Analyzer)
	if len(r.Findings) != 2 || r.Findings[0].SymptomOf != nil || r.Findings[1].SymptomOf != nil {
		t.Errorf("findings = %+v, want two that have nothing to do with each other", r.Findings)
	}
}
