// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/headroom-project/headroom/analyzers/report"
)

func (a *app) explain() *cobra.Command {
	return &cobra.Command{
		Use:   "explain [ID]",
		Short: "Say what a finding means, how it is judged and what can be tuned",
		Long: `Shows the documentation of a finding by its id. Without an id it lists all of
them.`,
		Example: `  headroom explain
  headroom explain event-loop-blocked`,
		ValidArgs: findingIDs(),
		Args:      atMostOne,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return listQuestions(a.stdout)
			}
			return a.explainOne(args[0])
		},
	}
}

func atMostOne(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return fmt.Errorf("headroom explain takes one id, and got %d", len(args))
	}
	return nil
}

func listQuestions(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, an := range analyzers {
		_, _ = fmt.Fprintf(table, "%s\t%s\n", an.Name, an.Title)
	}
	for _, q := range planned {
		_, _ = fmt.Fprintf(table, "%s\tnot yet: %s\n", q.ID, q.Title)
	}
	return table.Flush()
}

func (a *app) explainOne(id string) error {
	if an := analyzerByName(id); an != nil {
		return report.Explain(a.stdout, an, a.style())
	}
	for _, q := range planned {
		if q.ID == id {
			_, err := fmt.Fprintf(a.stdout, "%s: not yet. It will say %s.\n", q.ID, q.Title)
			return err
		}
	}
	return fmt.Errorf("no finding is called %q: did you mean %s? (headroom explain lists all)", id, closest(id, findingIDs()))
}

// closest is the word with the fewest edits to s, or to as much of the word as
// was typed.
func closest(s string, words []string) string {
	best, fewest := "", -1
	for _, w := range words {
		n := min(edits(s, w), edits(s, w[:min(len(s), len(w))]))
		if fewest < 0 || n < fewest {
			best, fewest = w, n
		}
	}
	return best
}

// edits is the Levenshtein distance.
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
