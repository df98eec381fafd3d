// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

// oneNumber fails where two findings raise one CPU limit to different numbers.
func oneNumber(t *testing.T, r *analysis.Result) (raised int) {
	t.Helper()
	to := make(map[string]string)
	for _, f := range r.Findings {
		for _, rec := range f.Recommendations {
			what, number, ok := strings.Cut(rec.Action, " to ")
			if rec.Verb != analysis.RaiseCPULimit || !ok {
				continue
			}
			raised++
			if other := to[what]; other != "" && other != number {
				t.Errorf("%s to %s, and to %s", what, other, number)
			}
			to[what] = number
		}
	}
	return raised
}

// TestOneActionHasOneNumber: one limit was to be raised to 1.1 and to 1.2 cores.
func TestOneActionHasOneNumber(t *testing.T) {
	h := handmade.New(t, 10, 16)
	box := h.Add(observe.Cgroup, "/box", observe.None, catalog.AttrContainerID, "box", catalog.AttrContainerName, "box")
	h.Set(catalog.CgroupCPULimit, box, 1.1)
	h.Set(catalog.CgroupCPUPeriod, box, 0.1)
	h.Set(catalog.CgroupPeriods, box, 100)
	h.Set(catalog.CgroupThrottled, box, 100)
	h.Set(catalog.CgroupThrottledS, box, 4)
	h.Set(catalog.CgroupCPUTime, box, 6)
	server := h.Process("42", "node", "node server.js", box, catalog.AttrOwner, "container box")
	loop := h.Loop(server)
	h.Set(catalog.ProcessListens, server, 1)
	h.Set(catalog.ThreadCPU, h.Add(observe.Thread, "42:1/42", server), 6)
	h.Ticks(loop, 7, 1.1, observe.Parts{CPU: 4, Throttled: 3.7})
	if raised := oneNumber(t, h.Run(Analyzers...)); raised < 2 {
		t.Errorf("%d findings raise the limit, want two", raised)
	}

	files, err := filepath.Glob("../*/testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d recorded cases: %v", len(files), err)
	}
	for _, file := range files {
		content, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, section := range content.Files {
			if section.Name != "recording" {
				continue
			}
			w, host, err := analysistest.Window(bytes.NewReader(section.Data))
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			oneNumber(t, analysis.Run(Analyzers, w, host, analysis.Options{}))
		}
	}
}
