// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/report"
)

func (a *app) record() *cobra.Command {
	var d time.Duration
	cmd := &cobra.Command{
		Use:   "record FILE",
		Short: "Keep what this host does, to be diagnosed elsewhere",
		Long: `Observes the whole host and keeps every reading in FILE. diagnose --from FILE
then says what diagnose would have said here, on any machine. The file
appears when it is complete; Ctrl-C completes it early.

It holds names of commands, cgroups and containers, and no arguments,
environment or content.`,
		Example: `  sudo headroom record slow.hr --duration 1m
  headroom diagnose --from slow.hr`,
		Args: oneArgument("the file to write, such as host.hr"),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := validDuration(d); err != nil {
				return err
			}
			ctx, stop := interruptible()
			defer stop()
			return a.recordTo(ctx, args[0], d)
		},
	}
	cmd.Flags().DurationVar(&d, "duration", defaultDuration, "how long to observe")
	return cmd
}

func (a *app) recordTo(ctx context.Context, path string, d time.Duration) error {
	from := live(d)
	rec, err := createRecording(path, from.host)
	if err != nil {
		return err
	}
	p := a.progress("recording "+from.host.Name, d)
	err = from.each(ctx, func(s *observe.Snapshot) error {
		p.show(s)
		return rec.write(s)
	})
	p.done()
	if err != nil {
		rec.discard()
		return err
	}
	if err := rec.keep(); err != nil {
		return err
	}
	size := 0.0
	if info, err := os.Stat(path); err == nil {
		size = float64(info.Size())
	}
	_, err = fmt.Fprintf(a.stdout, "%s: %d readings of %s, %s\n", path, rec.snapshots, from.host.Name, report.Human(size, string(observe.Bytes)))
	return err
}

// oneArgument says which argument is missing, where cobra counts.
func oneArgument(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			return nil
		}
		return fmt.Errorf("%s takes one argument, %s; it got %d", cmd.CommandPath(), what, len(args))
	}
}
