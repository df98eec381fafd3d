// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDocsAreFresh: what the pages say is what the code does.
func TestDocsAreFresh(t *testing.T) {
	for name, want := range generated() {
		got, err := os.ReadFile(filepath.Join("..", "..", "docs", name))
		if err != nil {
			t.Error(err)
			continue
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("docs/%s is stale, run make generate (-code +page):\n%s", name, diff)
		}
	}
}

// TestContractHoldsEveryAnalyzer: an analyzer that the contract does not name
// would be a finding that no outside tool expects.
func TestContractHoldsEveryAnalyzer(t *testing.T) {
	rows := make(map[string]int)
	for _, q := range contract {
		if rows[q.ID] != 0 {
			t.Errorf("the contract names %s twice", q.ID)
		}
		rows[q.ID] = q.Row
	}
	for _, a := range analyzers {
		if rows[a.Name] != a.Row {
			t.Errorf("analyzer %s is of row %d, the contract says %d", a.Name, a.Row, rows[a.Name])
		}
	}
	if got, want := len(planned()), len(contract)-len(analyzers); got != want {
		t.Errorf("%d questions are planned, want %d", got, want)
	}
}

// TestSchemaKnowsEveryWord: ids, causes and verbs are closed lists.
func TestSchemaKnowsEveryWord(t *testing.T) {
	schema, err := os.ReadFile(filepath.Join("..", "..", "analyzers", "report", "schema", "report-v1.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range analyzers {
		words := append([]string{a.Name}, a.Causes...)
		for _, v := range a.Verbs {
			words = append(words, string(v))
		}
		for _, w := range words {
			if !strings.Contains(string(schema), `"`+w+`"`) {
				t.Errorf("the report's schema does not name %q of %s", w, a.Name)
			}
		}
	}
}
