// SPDX-License-Identifier: Apache-2.0

package lookup

import (
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/suite"
)

// A Question is a planned analyzer.
type Question struct {
	ID       string            `json:"id"`
	Category analysis.Category `json:"category"`
	Row      int               `json:"row"` // the number of Category, for readers of the first version
	Title    string            `json:"title"`
}

// Planned lists the IDs of planned analyzers, so that a user who asks for one
// learns that it is not a spelling mistake. An ID is removed from this list when
// its analyzer is added.
var Planned = []Question{
	plan("gpu-saturated", analysis.CategoryCapacity, "whether a GPU is at its limit"),
	plan("gpu-starved", analysis.CategoryCapacity, "whether a GPU waits for the host"),
	plan("scaling-limit", analysis.CategoryCapacity, "how far more of the same helps"),
	plan("gc-pressure", analysis.CategoryMemory, "what garbage collection costs"),
}

func plan(id string, c analysis.Category, title string) Question {
	return Question{ID: id, Category: c, Row: c.Number(), Title: title}
}

// FindingIDs returns the IDs that a user may name: those of analyzers, then planned
// ones.
func FindingIDs() []string {
	var all []string
	for _, a := range suite.Analyzers {
		all = append(all, a.Name)
	}
	return append(all, IDs(Planned)...)
}

// IDs returns the IDs of questions.
func IDs(qs []Question) []string {
	var all []string
	for _, q := range qs {
		all = append(all, q.ID)
	}
	return all
}
