// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

func TestAnalyzersAreValid(t *testing.T) {
	if err := analysis.Validate(Analyzers); err != nil {
		t.Error(err)
	}
}

// TestEveryFolderIsListed checks that each folder with a doc.md is a listed analyzer. The
// name of the folder is the ID of the analyzer without hyphens.
func TestEveryFolderIsListed(t *testing.T) {
	folders, err := filepath.Glob("../*/doc.md")
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, a := range Analyzers {
		listed = append(listed, strings.ReplaceAll(a.Name, "-", ""))
	}
	for _, doc := range folders {
		if name := filepath.Base(filepath.Dir(doc)); !slices.Contains(listed, name) {
			t.Errorf("analyzers/%s is not in the list", name)
		}
	}
	if len(folders) != len(listed) {
		t.Errorf("%d folders and %d analyzers in the list", len(folders), len(listed))
	}
}

func TestDocsTellWhatTheyMust(t *testing.T) {
	for _, a := range Analyzers {
		for _, needed := range []string{"# " + a.Name + "\n", "\n> ", "## Formula", "## Thresholds", "Look-alikes", "## Not known"} {
			if !strings.Contains(a.Doc, needed) {
				t.Errorf("doc.md of %s has no %q", a.Name, needed)
			}
		}
	}
}

func TestMetricsAreInTheCatalogue(t *testing.T) {
	known := catalog.ByKey()
	for _, a := range Analyzers {
		for _, m := range slices.Concat(a.Needs, a.Wants) {
			if known[m.Key()] != m {
				t.Errorf("%s asks for %s, which the catalogue does not list", a.Name, m.Key())
			}
		}
	}
}

func TestRejectionsHaveReasons(t *testing.T) {
	for _, r := range Rejected {
		if r.Idea == "" || r.Reason == "" {
			t.Errorf("rejection without an idea or a reason: %+v", r)
		}
	}
}
