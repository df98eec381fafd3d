// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPage checks that docs/accuracy.md is generated from results.json.
func TestPage(t *testing.T) {
	const root = "../.."
	saved, err := load(root)
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs/accuracy.md"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(page), string(saved.page())); diff != "" {
		t.Errorf("docs/accuracy.md is stale; bin/matrix -mode page writes it:\n%s", diff)
	}
}

// TestNames checks that names are unique, because results are saved by name.
func TestNames(t *testing.T) {
	seen := make(map[string]bool)
	for _, rows := range [][]runtime{runtimes, healthyPrograms} {
		for _, r := range rows {
			if seen[r.name] {
				t.Errorf("two rows are named %s", r.name)
			}
			seen[r.name] = true
			if r.serve == nil {
				t.Errorf("%s has no command line", r.name)
			}
		}
	}
}
