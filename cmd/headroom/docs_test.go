// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-project/headroom/analyzers/suite"
	"github.com/headroom-project/headroom/cmd/headroom/internal/docs"
	"github.com/headroom-project/headroom/cmd/headroom/internal/lookup"
)

// TestDocsAreFresh checks that generated pages are up to date with the code.
func TestDocsAreFresh(t *testing.T) {
	files, err := docs.Files((&app{}).root())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("..", "..", name))
		if err != nil {
			t.Error(err)
			continue
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s is stale, run make generate (-code +page):\n%s", name, diff)
		}
	}
}

// TestReadmeListsFindings checks that the table of findings in the README has a row for
// each analyzer, and no other rows.
func TestReadmeListsFindings(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\|").FindAllStringSubmatch(string(readme), -1) {
		got = append(got, row[1])
	}
	for _, a := range suite.Analyzers {
		want = append(want, a.Name)
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings in README.md (-analyzers +rows):\n%s", diff)
	}
}

// TestPlannedHaveNoAnalyzer checks that no finding that is listed as planned has an
// analyzer.
func TestPlannedHaveNoAnalyzer(t *testing.T) {
	for _, q := range lookup.Planned {
		if lookup.Analyzer(q.ID) != nil {
			t.Errorf("%s has an analyzer: take it out of planned", q.ID)
		}
		if !q.Category.Valid() {
			t.Errorf("planned %s: unknown category %q", q.ID, q.Category)
		}
	}
}
