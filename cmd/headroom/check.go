// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/run"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/suite"
	"github.com/headroom-project/headroom/cmd/headroom/internal/host"
	"github.com/headroom-project/headroom/cmd/headroom/internal/lookup"
)

// checkSchema names the JSON of check.
const checkSchema = "headroom/check/v1"

// A checkup is what this host and these privileges allow.
type checkup struct {
	Schema  string       `json:"schema"`
	Version string       `json:"version"`
	Host    observe.Host `json:"host"`
	Facts   []host.Fact  `json:"facts"`
	// Unseen are parts of the host that no source can see from here.
	Unseen   []trait           `json:"unseen,omitempty"`
	Samplers []samplerView     `json:"samplers"`
	Answers  []answer          `json:"answers"`
	Planned  []lookup.Question `json:"planned"`
}

// A samplerView says whether one source can be read, wholly or in part.
type samplerView struct {
	Name  string  `json:"name"`
	Reads string  `json:"reads"`
	State string  `json:"state"` // yes, partly, no
	Gaps  []trait `json:"gaps,omitempty"`
}

// A trait is a reason with its cure.
type trait struct {
	Reason string `json:"reason"`
	Cure   string `json:"cure,omitempty"`
}

// An answer says whether a question can be asked here.
type answer struct {
	ID    string `json:"id"`
	Title string `json:"title"`
	State string `json:"state"` // yes, partly, no
	// Without are the sources that are missing.
	Without []string `json:"without,omitempty"`
}

const (
	stateYes    = "yes"
	statePartly = "partly"
	stateNo     = "no"
)

func (a *app) check() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Report what can be observed on this host, what cannot, and how to fix it",
		Long: `Opens every source, reads it once, and reports what works on this host with these
privileges, which questions each missing source leaves open and how to fix it, and
what headroom cannot do yet. It changes nothing.`,
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
	views, unseen, err := readOnce(ctx)
	if err != nil {
		return fmt.Errorf("reading every source once: %w", err)
	}
	c := &checkup{
		Schema: checkSchema, Version: host.Version(), Host: host.Describe(),
		Facts: host.Facts(), Unseen: unseen, Samplers: views,
		Answers: inPart(answers(suite.Analyzers, host.Samplers, views), unseen), Planned: lookup.Planned,
	}
	if output == "json" {
		enc := json.NewEncoder(a.stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(c)
	}
	return c.text(a.stdout, a.style())
}

var errOnce = errors.New("one reading is enough")

// readOnce opens and reads every sampler: some see that they cannot look only
// when they look. unseen is what none of them can see.
func readOnce(ctx context.Context) (all []samplerView, unseen []trait, err error) {
	r := run.Open(run.Options{Samplers: host.Samplers, Host: host.New(observe.DefaultLimit)})
	var gaps []observe.Gap
	err = r.Observe(ctx, run.DefaultInterval, func(s *observe.Snapshot) error {
		gaps = slices.Clone(s.Gaps)
		return errOnce
	})
	if err != nil && !errors.Is(err, errOnce) {
		return nil, nil, errors.Join(err, r.Close())
	}
	for _, g := range gaps {
		if g.Doubt() {
			unseen = append(unseen, trait{g.Reason, g.Cure})
		}
	}
	return views(r.Status(), gaps), unseen, r.Close()
}

// inPart takes back that a question can be answered where parts of the host are
// not seen: it can be, of the rest.
func inPart(all []answer, unseen []trait) []answer {
	for i := range all {
		if len(unseen) > 0 && all[i].State == stateYes {
			all[i].State, all[i].Without = statePartly, []string{observe.GapView}
		}
	}
	return all
}

func views(status []run.SamplerStatus, gaps []observe.Gap) []samplerView {
	all := []samplerView{}
	for _, s := range status {
		v := samplerView{Name: s.Sampler.Name, Reads: s.Sampler.Doc, State: stateYes}
		for _, g := range gaps {
			if g.Source == v.Name {
				v.State = statePartly
				v.Gaps = append(v.Gaps, trait{g.Reason, g.Cure})
			}
		}
		if s.Err != nil {
			v.State = stateNo
		}
		all = append(all, v)
	}
	return all
}

// answers says of each analyzer which of its sources are missing. Where what
// it needs is, what would sharpen the answer does not matter.
func answers(analyzers []*analysis.Analyzer, samplers []*sampler.Sampler, views []samplerView) []answer {
	from := host.Sources(samplers)
	state := make(map[string]string)
	for _, v := range views {
		state[v.Name] = v.State
	}
	all := []answer{}
	for _, an := range analyzers {
		one := answer{ID: an.Name, Title: an.Title, State: stateNo}
		if one.Without = needed(an, from, state); len(one.Without) == 0 {
			one.State = statePartly
			one.Without = without(slices.Concat(an.Needs, an.Wants), from, state, statePartly)
		}
		if len(one.Without) == 0 {
			one.State = stateYes
		}
		all = append(all, one)
	}
	return all
}

// needed lists the sources without which the question cannot be asked.
func needed(an *analysis.Analyzer, from, state map[string]string) []string {
	if an.OneOf {
		for _, m := range an.Needs {
			if len(without([]*observe.Metric{m}, from, state, stateNo)) == 0 {
				return nil
			}
		}
	}
	return without(an.Needs, from, state, stateNo)
}

// without lists the sources of some metrics that read worse than partly, or
// that read partly where that counts too.
func without(ms []*observe.Metric, from, state map[string]string, counts string) []string {
	var missing []string
	for _, m := range ms {
		source := firstText(from[m.Key()], m.Key())
		bad := state[source] != stateYes && (state[source] != statePartly || counts == statePartly)
		if bad && !slices.Contains(missing, source) {
			missing = append(missing, source)
		}
	}
	return missing
}
