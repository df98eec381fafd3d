// SPDX-License-Identifier: Apache-2.0

// Command headroom observes a Linux host and reports which hardware limit a service
// hits, why, and what to do about it, with a number.
//
// It connects samplers, analyzers and the report, and decides nothing itself. It
// never signals, injects into or restarts the processes that it observes.
package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

func main() {
	os.Exit(execute(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv))
}

// Exit statuses of every command.
const (
	exitOK     = 0
	exitFound  = 1 // a finding at or above --fail-on
	exitFailed = 2 // the command failed
)

// An app is the command line with its inputs and outputs.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	env            func(string) string
	status         int
}

// execute runs the program and returns its exit status.
func execute(args []string, stdin io.Reader, stdout, stderr io.Writer, env func(string) string) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, env: env}
	root := a.root()
	root.SetArgs(args)
	help := &printed{w: stdout}
	root.SetOut(help)
	if err := cmp.Or(root.Execute(), help.err); err != nil {
		_, _ = fmt.Fprintln(stderr, "headroom: "+oneLine(err))
		return exitFailed
	}
	return a.status
}

// printed is the output of texts whose printing returns no error, such as help: it
// keeps the first error.
type printed struct {
	w   io.Writer
	err error
}

func (p *printed) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	if err != nil && p.err == nil {
		p.err = fmt.Errorf("writing to standard output: %w", err)
	}
	return n, err
}

// oneLine joins text that a library spread over several lines.
func oneLine(err error) string {
	var parts []string
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line != "" {
			parts = append(parts, line)
		}
	}
	return strings.Join(parts, " ")
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "headroom",
		Short: "Report which hardware limit a service hits, why, and what to do",
		Long: `headroom observes a Linux host with eBPF, procfs and cgroups and reports which
hardware limit a service hits, why, and what to do, with a number. It never
signals, injects into or restarts the processes that it observes.`,
		Example: `  sudo headroom diagnose                 diagnose this host
  sudo headroom diagnose --pid 4242      diagnose one process
  headroom check                         report what can be observed here
  headroom explain event-loop-blocked    explain a finding`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          known,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(a.stdin)
	root.SetErr(a.stderr)
	root.SuggestionsMinimumDistance = 2
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w (%s --help lists the flags)", err, cmd.CommandPath())
	})
	root.AddCommand(a.diagnose(), a.record(), a.explain(), a.check(), a.agent(), a.config(), a.version(), a.docs())
	return root
}

// known rejects an unknown command, and suggests a similar one.
func known(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := fmt.Errorf("unknown command %q (headroom --help lists the commands)", args[0])
	if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
		err = fmt.Errorf("unknown command %q: did you mean %s?", args[0], like[0])
	}
	return err
}
