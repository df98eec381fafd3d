// SPDX-License-Identifier: Apache-2.0

// Package docs writes the files of the repository that come from the code: the pages of
// metrics, analyzers and commands, and the words in the schema of the report.
package docs

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/report/schema"
	"github.com/headroom-project/headroom/analyzers/suite"
)

// Files returns the files that come from the code, by their path in the repository.
// root is the command whose reference is docs/cli.md.
func Files(root *cobra.Command) (map[string][]byte, error) {
	report, err := schema.Report(words())
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		"docs/metrics.md":   metricsPage(),
		"docs/analyzers.md": analyzersPage(),
		"docs/cli.md":       cliPage(root),
		"analyzers/report/schema/report-v1.schema.json": report,
	}, nil
}

// words are what the analyzers declare, each once, in their order.
func words() schema.Words {
	var w schema.Words
	add := func(to *[]string, word string) {
		if !slices.Contains(*to, word) {
			*to = append(*to, word)
		}
	}
	for _, a := range suite.Analyzers {
		add(&w.IDs, a.Name)
		for _, c := range a.Causes {
			add(&w.Causes, c)
		}
		for _, v := range a.Verbs {
			add(&w.Verbs, string(v))
		}
	}
	for _, c := range analysis.Categories {
		add(&w.Categories, string(c))
	}
	return w
}
