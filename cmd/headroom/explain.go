// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/headroom-project/headroom/analyzers/report/render"
	"github.com/headroom-project/headroom/analyzers/suite"
	"github.com/headroom-project/headroom/cmd/headroom/internal/lookup"
)

func (a *app) explain() *cobra.Command {
	return &cobra.Command{
		Use:   "explain [ID]",
		Short: "Explain what a finding means, how it is computed and what can be tuned",
		Long: `Shows the documentation of a finding by its id. Without an id it lists all of
them.`,
		Example: `  headroom explain
  headroom explain event-loop-blocked`,
		ValidArgs: lookup.FindingIDs(),
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
	for _, an := range suite.Analyzers {
		_, _ = fmt.Fprintf(table, "%s\t%s\n", an.Name, an.Title)
	}
	for _, q := range lookup.Planned {
		_, _ = fmt.Fprintf(table, "%s\tnot yet: %s\n", q.ID, q.Title)
	}
	return table.Flush()
}

func (a *app) explainOne(id string) error {
	if an := lookup.Analyzer(id); an != nil {
		return render.Explain(a.stdout, an, a.style())
	}
	for _, q := range lookup.Planned {
		if q.ID == id {
			_, err := fmt.Fprintf(a.stdout, "%s: not yet. It will say %s.\n", q.ID, q.Title)
			return err
		}
	}
	return fmt.Errorf("unknown finding %q: did you mean %s? (headroom explain lists all)", id, lookup.Closest(id, lookup.FindingIDs()))
}
