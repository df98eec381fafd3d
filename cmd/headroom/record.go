// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/report/render"
	"github.com/headroom-project/headroom/cmd/headroom/internal/diagnosis"
	"github.com/headroom-project/headroom/cmd/headroom/internal/recording"
	"github.com/headroom-project/headroom/cmd/headroom/internal/rules"
)

func (a *app) record() *cobra.Command {
	var d time.Duration
	var brokers string
	var noFrames bool
	cmd := &cobra.Command{
		Use:   "record FILE",
		Short: "Record this host for diagnosis elsewhere",
		Long: `Observes the whole host and writes every sample to FILE. On any machine,
diagnose --from FILE then reports what diagnose would have reported here. The file
appears when it is complete; Ctrl-C completes it early. - is standard output.

An existing regular file is replaced when the recording is complete, and is not
changed when the recording fails. Devices, FIFOs, symbolic links and files of other
users are refused. Only its owner can read a new file: the user who ran sudo, or
root.

A recording contains names of commands, cgroups and containers, paths of files
that block an event loop, and names and files of functions that do, but no arguments,
environment or content.`,
		Example: `  sudo headroom record slow.hr --duration 1m
  headroom diagnose --from slow.hr
  ssh node sudo headroom record - > node.hr`,
		Args: oneArgument("the file to write, such as host.hr"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := errors.Join(notEmpty(cmd.Flags()), checkDuration(d)); err != nil {
				return err
			}
			if args[0] == "" {
				return errors.New("record: the file name is empty; give one, as in headroom record host.hr")
			}
			return untilInterrupted(completion, func(ctx context.Context) error { return a.recordTo(ctx, args[0], d, brokers, noFrames) })
		},
	}
	cmd.Flags().BoolVar(&noFrames, "no-frames", false, noFramesUsage)
	cmd.Flags().DurationVar(&d, "duration", diagnosis.DefaultDuration, "how long to observe")
	brokersFlag(&brokers, cmd.Flags())
	return cmd
}

// checkDuration checks the value of --duration.
func checkDuration(d time.Duration) error {
	if err := diagnosis.CheckDuration(d); err != nil {
		return fmt.Errorf("--duration %w", err)
	}
	return nil
}

func (a *app) recordTo(ctx context.Context, path string, d time.Duration, brokers string, noFrames bool) error {
	r, err := rules.Read(brokers)
	if err != nil {
		return err
	}
	from := diagnosis.Live(d, r.Brokers(), noFrames)
	rec, summary, err := a.createRecording(path, from.Host)
	if err != nil {
		return err
	}
	p := a.progress("recording "+from.Host.Name, d)
	err = from.Each(ctx, func(s *observe.Snapshot) error {
		p.show(s)
		return rec.Write(s)
	})
	p.done()
	if err != nil {
		rec.Discard()
		return err
	}
	if err := rec.Keep(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(summary, "%s: %d readings of %s, %s\n", rec.Name(), rec.Snapshots(), from.Host.Name, render.Human(float64(rec.Size()), string(observe.Bytes)))
	return err
}

// standardOutput is the name of a recording that goes to standard output.
const standardOutput = "-"

// createRecording starts a recording in the file path, or on standard output, and
// returns the output for its summary.
func (a *app) createRecording(path string, of observe.Host) (rec *recording.Recording, summary io.Writer, err error) {
	if path != standardOutput {
		rec, err = recording.Create(path, of)
		return rec, a.stdout, err
	}
	if _, ok := terminal(a.stdout); ok {
		return nil, nil, errors.New("writing the recording to standard output: it is a terminal; redirect it, as in headroom record - > host.hr")
	}
	rec, err = recording.Stream(a.stdout, "standard output", of)
	return rec, a.stderr, err
}

// oneArgument returns an error that names the missing argument; cobra's only has a
// count.
func oneArgument(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			return nil
		}
		return fmt.Errorf("%s takes one argument, %s; it got %d", cmd.CommandPath(), what, len(args))
	}
}
