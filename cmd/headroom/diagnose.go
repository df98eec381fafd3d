// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/report"
	"github.com/headroom-project/headroom/analyzers/report/render"
	"github.com/headroom-project/headroom/cmd/headroom/internal/diagnosis"
	"github.com/headroom-project/headroom/cmd/headroom/internal/host"
	"github.com/headroom-project/headroom/cmd/headroom/internal/lookup"
	"github.com/headroom-project/headroom/cmd/headroom/internal/recording"
	"github.com/headroom-project/headroom/cmd/headroom/internal/rules"
	"github.com/headroom-project/headroom/cmd/headroom/internal/scope"
)

// diagnoseOptions are the flags of diagnose.
type diagnoseOptions struct {
	scope.Target
	duration time.Duration
	output   string
	failOn   string
	from     string
	save     string
	brokers  string
	noFrames bool
	params   []string

	threshold diagnosis.Threshold // failOn
}

func (a *app) diagnose() *cobra.Command {
	var o diagnoseOptions
	cmd := &cobra.Command{
		Use:   "diagnose",
		Short: "Report which limits this host and its services hit, why, and what to do",
		Long: `Observes the host for a while and reports which limits its services hit: root
causes first, each with its evidence and a fix with a number; then what was
checked and is fine, and what could not be checked and why.

Flags narrow what is reported, not what is observed: a neighbour that takes
the CPU of the process you ask about is still named.

Findings are ordered by severity, then by the time that is left, then by how
much is lost. Symptoms are shown below their root cause, and infos at the end.

The verdict is the highest severity of the root causes, or healthy: a symptom does
not count, because it ends with its cause. The verdict is unknown if no problem was
found but too little could be observed to call that healthy: two thirds of the
analyzers could not run, headroom runs in a container and sees no process outside
it, or the selected process ended.

Exit status: 0 when no root cause is at or above --fail-on, 1 when one is, 2 when
diagnose could not run. An unknown verdict has no severity: the exit status is 0
unless a root cause is at or above --fail-on. -o json prints "verdict": "unknown".`,
		Example: `  sudo headroom diagnose
  sudo headroom diagnose --pid 4242 --duration 10s
  sudo headroom diagnose --command server.js -o json
  sudo headroom diagnose --container 3f8a2c1d --fail-on warning
  headroom diagnose --from slow.hr -o markdown
  headroom diagnose --from slow.hr -o html > slow.html`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(notEmpty(cmd.Flags()), o.validate(cmd.Flags().Changed("duration"))); err != nil {
				return err
			}
			wait := completion
			if o.from != "" {
				wait = 0 // there is nothing to complete
			}
			return untilInterrupted(wait, func(ctx context.Context) error { return a.runDiagnose(ctx, &o) })
		},
	}
	o.flags(cmd)
	return cmd
}

func (o *diagnoseOptions) flags(cmd *cobra.Command) {
	scopeFlags(&o.Target, cmd)
	f := cmd.Flags()
	f.DurationVar(&o.duration, "duration", diagnosis.DefaultDuration, "how long to observe")
	f.StringVarP(&o.output, "output", "o", "text", "text, json, markdown or html")
	f.StringVar(&o.failOn, "fail-on", diagnosis.Never, "exit 1 when a root cause has this severity or a worse one: info, warning, critical or never")
	f.StringVar(&o.from, "from", "", "diagnose a recording instead of this host; - is standard input")
	f.StringVar(&o.save, "save", "", "also save a recording to this file")
	brokersFlag(&o.brokers, f)
	f.BoolVar(&o.noFrames, "no-frames", false, noFramesUsage)
	f.StringArrayVar(&o.params, "param", nil, "set a threshold: ID.NAME=VALUE; headroom explain ID lists them")
	for name, values := range map[string][]string{"output": outputs, "fail-on": diagnosis.Thresholds} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
}

const noFramesUsage = "do not read the names of functions that event loops and busy threads are in"

// brokersFlag adds the flag for brokers that need a password.
func brokersFlag(path *string, f *pflag.FlagSet) {
	f.StringVar(path, "brokers", "", "ask the message brokers of this config file of the agent; other keys have no effect")
}

var outputs = []string{"text", "json", "markdown", "html"}

func (o *diagnoseOptions) validate(durationGiven bool) error {
	var err error
	if o.threshold, err = diagnosis.ParseThreshold(o.failOn); err != nil {
		return fmt.Errorf("--fail-on %w", err)
	}
	switch {
	case !slices.Contains(outputs, o.output):
		return fmt.Errorf("-o %s: unknown format (known: %s)", o.output, strings.Join(outputs, ", "))
	case o.from != "" && durationGiven:
		return errors.New("--duration cannot be used with --from: a recording is diagnosed as a whole")
	case o.from != "" && o.brokers != "":
		return errors.New("--brokers cannot be used with --from: a recording asks no broker")
	case o.save == standardOutput:
		return errors.New("--save -: standard output holds the report; give a file name, or use headroom record -")
	case o.from != "" && o.save != "":
		return errors.New("--save cannot be used with --from: the recording exists already")
	}
	return checkDuration(o.duration)
}

// notEmpty rejects flags with an empty value: an empty variable in a script would
// select everything.
func notEmpty(flags *pflag.FlagSet) error {
	var err error
	flags.Visit(func(f *pflag.Flag) {
		if f.Value.Type() == "string" && strings.TrimSpace(f.Value.String()) == "" {
			err = fmt.Errorf("--%s is empty: give it a value, or leave it out", f.Name)
		}
	})
	return err
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("%s takes flags only, and got %q (%s --help lists them)", cmd.CommandPath(), args[0], cmd.CommandPath())
}

func (a *app) runDiagnose(ctx context.Context, o *diagnoseOptions) error {
	result, saving := a.observed(ctx, o)
	if result == nil {
		return saving
	}
	r := &render.Document{
		Report: report.New(result, report.Options{Version: host.Version()}), Result: result,
		Scope: o.Target.String(), Sources: host.Sources(host.Samplers),
	}
	if err := a.write(r, o.output); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	if o.threshold.Reached(result) {
		a.status = exitFound
	}
	return saving
}

// observed returns the result of the diagnosis. An error together with a result is
// about saving the recording.
func (a *app) observed(ctx context.Context, o *diagnoseOptions) (*analysis.Result, error) {
	params, err := lookup.Params(o.params)
	if err != nil {
		return nil, err
	}
	q := diagnosis.Inquiry{Target: o.Target, Params: params}
	if o.from != "" {
		return a.fromRecording(ctx, o.from, q)
	}
	return a.fromHost(ctx, o, q)
}

func (a *app) fromRecording(ctx context.Context, path string, q diagnosis.Inquiry) (*analysis.Result, error) {
	in := a.stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("opening the recording: %w", err)
		}
		defer f.Close()
		in = f
	}
	from, err := diagnosis.Replay(in, path)
	if err != nil {
		return nil, err
	}
	return q.Judge(ctx, from)
}

func (a *app) fromHost(ctx context.Context, o *diagnoseOptions, q diagnosis.Inquiry) (*analysis.Result, error) {
	if err := o.Exists(); err != nil {
		return nil, err
	}
	r, err := rules.Read(o.brokers)
	if err != nil {
		return nil, err
	}
	from := diagnosis.Live(o.duration, r.Brokers(), o.noFrames)
	p := a.progress("observing "+from.Host.Name, o.duration)
	defer p.done()
	watchers := []func(*observe.Snapshot) error{o.Appears(), func(s *observe.Snapshot) error { p.show(s); return nil }}
	if o.save == "" {
		return q.Judge(ctx, from, watchers...)
	}
	rec, err := recording.Create(o.save, from.Host)
	if err != nil {
		return nil, err
	}
	result, err := q.Judge(ctx, from, append(watchers, rec.Watch)...)
	if err != nil {
		rec.Discard()
		return nil, err
	}
	return result, rec.Keep()
}

func (a *app) write(r *render.Document, format string) error {
	writers := map[string]func(io.Writer) error{
		"text":     func(w io.Writer) error { return r.Text(w, a.style()) },
		"json":     r.JSON,
		"markdown": r.Markdown,
		"html":     r.HTML,
	}
	return writers[format](a.stdout)
}
