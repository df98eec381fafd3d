// SPDX-License-Identifier: Apache-2.0

// Package lookup finds analyzers and their params by the names that flags and
// config files use, and suggests the closest name for a mistyped one.
package lookup

import (
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/suite"
)

// Analyzer returns the analyzer with an ID, or nil.
func Analyzer(name string) *analysis.Analyzer {
	for _, a := range suite.Analyzers {
		if a.Name == name {
			return a
		}
	}
	return nil
}

// Closest returns the word with the fewest edits to s, or to a prefix of the word
// as long as s.
func Closest(s string, words []string) string {
	best, fewest := "", -1
	for _, w := range words {
		n := min(edits(s, w), edits(s, w[:min(len(s), len(w))]))
		if fewest < 0 || n < fewest {
			best, fewest = w, n
		}
	}
	return best
}

// edits returns the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
