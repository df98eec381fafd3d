// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/headroom-project/headroom/cmd/headroom/internal/checkup"
)

func (a *app) check() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Report what can be observed on this host, what cannot, and how to fix it",
		Long: `Opens every source, reads it once, and reports what works on this host with these
privileges, which analyzers cannot run because of a missing source, how to fix it,
and what headroom cannot do yet. It changes nothing.`,
		Example: `  headroom check
  sudo headroom check -o json`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			if !slices.Contains(checkOutputs, output) {
				return fmt.Errorf("-o %s: unknown format (known: text, json)", output)
			}
			return untilInterrupted(0, func(ctx context.Context) error { return a.runCheck(ctx, output) })
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(checkOutputs, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

var checkOutputs = []string{"text", "json"}

func (a *app) runCheck(ctx context.Context, output string) error {
	c, err := checkup.Run(ctx)
	if err != nil {
		return err
	}
	if output == "json" {
		enc := json.NewEncoder(a.stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(c)
	}
	return writeCheckup(a.stdout, c, a.style())
}
