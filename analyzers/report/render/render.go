// SPDX-License-Identifier: Apache-2.0

// Package render writes a report for people: as text for a terminal, as Markdown
// for a ticket, and as an HTML page with charts. It writes the contents of the
// report, and decides nothing.
package render

import (
	"slices"

	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/report"
)

// A Document is a report with additional data for its texts.
type Document struct {
	*report.Report
	// Result is the result from which the report was created. Its window has the
	// series for the charts.
	Result *analysis.Result
	// Scope describes the target of the diagnosis, if that is less than the host.
	Scope string
	// Sources names the gap source that would have provided each metric, by
	// key, so that a skip is shown with the gap that caused it and its fix.
	Sources map[string]string

	folded map[string][]*report.Finding // by the key of their cause
}

// symptoms returns the findings that f explains, in their order.
func (r *Document) symptoms(f *report.Finding) []*report.Finding {
	if r.folded == nil {
		r.folded = make(map[string][]*report.Finding)
		for _, s := range r.Findings {
			if s.SymptomOf != nil {
				r.folded[s.SymptomOf.Key] = append(r.folded[s.SymptomOf.Key], s)
			}
		}
	}
	return r.folded[f.Key]
}

// source returns the finding of the result for f: a report has the same findings in
// the same order.
func (r *Document) source(f *report.Finding) *analysis.Finding {
	return r.Result.Findings[slices.Index(r.Findings, f)]
}
