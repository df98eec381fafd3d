// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func cliPage(root *cobra.Command) []byte {
	p := newPage("Command line")
	root.InitDefaultCompletionCmd("completion")
	p.command(root)
	return p.Bytes()
}

func (p *page) command(cmd *cobra.Command) {
	if cmd.Hidden {
		return
	}
	p.printf("\n## %s\n\n%s\n\n```\n%s\n```\n", cmd.CommandPath(), cmp.Or(cmd.Long, cmd.Short), cmd.UseLine())
	if cmd.HasExample() {
		p.printf("\nExamples:\n\n```\n%s\n```\n", unindented(cmd.Example))
	}
	var rows []string
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden && f.Name != "help" {
			rows = append(rows, flagRow(f))
		}
	})
	if len(rows) > 0 {
		p.printf("\n| flag | default | |\n|---|---|---|\n%s", strings.Join(rows, ""))
	}
	if cmd.Name() == "completion" {
		return // its commands are the shells, which it names itself
	}
	below := cmd.Commands()
	slices.SortFunc(below, func(a, b *cobra.Command) int { return strings.Compare(a.Name(), b.Name()) })
	for _, c := range below {
		p.command(c)
	}
}

func flagRow(f *pflag.Flag) string {
	name := "--" + f.Name
	if f.Shorthand != "" {
		name = "-" + f.Shorthand + ", " + name
	}
	value := f.DefValue
	if value == "0" || value == "" {
		value = " "
	}
	return fmt.Sprintf("| `%s` | %s | %s |\n", name, value, cell(f.Usage))
}

func unindented(s string) string {
	return strings.TrimPrefix(strings.ReplaceAll(s, "\n  ", "\n"), "  ")
}
