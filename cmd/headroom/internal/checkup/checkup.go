// SPDX-License-Identifier: Apache-2.0

// Package checkup reports what can be observed on this host with these privileges:
// which sources can be read, and which analyzers can run.
package checkup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/run"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/suite"
	"github.com/headroom-project/headroom/cmd/headroom/internal/host"
	"github.com/headroom-project/headroom/cmd/headroom/internal/lookup"
)

// Schema is the schema name in the JSON of a Checkup.
const Schema = "headroom/check/v1"

// A Checkup reports what this host and these privileges allow.
type Checkup struct {
	Schema  string       `json:"schema"`
	Version string       `json:"version"`
	Host    observe.Host `json:"host"`
	Facts   []host.Fact  `json:"facts"`
	// Unseen lists the parts of the host that no source can see from here.
	Unseen   []Trait           `json:"unseen,omitempty"`
	Samplers []Source          `json:"samplers"`
	Answers  []Answer          `json:"answers"`
	Planned  []lookup.Question `json:"planned"`
}

// A Source reports whether a sampler can read its source, completely or in part.
type Source struct {
	Name  string  `json:"name"`
	Reads string  `json:"reads"`
	State string  `json:"state"` // yes, partly, no
	Gaps  []Trait `json:"gaps,omitempty"`
}

// A Trait is a reason with its fix.
type Trait struct {
	Reason string `json:"reason"`
	Cure   string `json:"cure,omitempty"`
}

// An Answer reports whether an analyzer can run here.
type Answer struct {
	ID    string `json:"id"`
	Title string `json:"title"`
	State string `json:"state"` // yes, partly, no
	// Without lists the missing sources.
	Without []string `json:"without,omitempty"`
}

// States of a source and of an answer.
const (
	Yes    = "yes"
	Partly = "partly"
	No     = "no"
)

// Run opens every source of this host, reads it once, and closes it.
func Run(ctx context.Context) (*Checkup, error) {
	sources, unseen, err := readOnce(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading every source once: %w", err)
	}
	return &Checkup{
		Schema: Schema, Version: host.Version(), Host: host.Describe(),
		Facts: host.Facts(), Unseen: unseen, Samplers: sources,
		Answers: inPart(answers(suite.Analyzers, host.Samplers, sources), unseen), Planned: lookup.Planned,
	}, nil
}

// Count returns how many questions can be answered, and how many of them in part.
func (c *Checkup) Count() (whole, partly int) {
	for _, a := range c.Answers {
		switch a.State {
		case Yes:
			whole++
		case Partly:
			partly++
		}
	}
	return whole, partly
}

// OfWhatIsSeen reports whether an answer is partial only because parts of the host
// are not visible: every source that it needs can be read.
func (a *Answer) OfWhatIsSeen() bool {
	return a.State == Partly && slices.Equal(a.Without, []string{observe.GapView})
}

var errOnce = errors.New("one reading is enough")

// readOnce opens and reads every sampler: some detect only when they read that they
// cannot. unseen lists what none of them can see.
func readOnce(ctx context.Context) (all []Source, unseen []Trait, err error) {
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
			unseen = append(unseen, Trait{g.Reason, g.Cure})
		}
	}
	return sourcesOf(r.Status(), gaps), unseen, r.Close()
}

// inPart marks answers as partial if parts of the host are not visible.
func inPart(all []Answer, unseen []Trait) []Answer {
	for i := range all {
		if len(unseen) > 0 && all[i].State == Yes {
			all[i].State, all[i].Without = Partly, []string{observe.GapView}
		}
	}
	return all
}

// sourcesOf returns for each sampler whether it could be opened and read.
func sourcesOf(status []run.SamplerStatus, gaps []observe.Gap) []Source {
	all := []Source{}
	for _, s := range status {
		v := Source{Name: s.Sampler.Name, Reads: s.Sampler.Doc, State: Yes}
		for _, g := range gaps {
			if g.Source == v.Name {
				v.State = Partly
				v.Gaps = append(v.Gaps, Trait{g.Reason, g.Cure})
			}
		}
		if s.Err != nil {
			v.State = No
		}
		all = append(all, v)
	}
	return all
}

// answers returns for each analyzer which of its sources are missing. A missing
// source that is only wanted does not matter if all needed ones are there.
func answers(analyzers []*analysis.Analyzer, samplers []*sampler.Sampler, sources []Source) []Answer {
	from := host.Sources(samplers)
	state := make(map[string]string)
	for _, v := range sources {
		state[v.Name] = v.State
	}
	all := []Answer{}
	for _, an := range analyzers {
		one := Answer{ID: an.Name, Title: an.Title, State: No}
		if one.Without = needed(an, from, state); len(one.Without) == 0 {
			one.State = Partly
			one.Without = without(slices.Concat(an.Needs, an.Wants), from, state, Partly)
		}
		if len(one.Without) == 0 {
			one.State = Yes
		}
		all = append(all, one)
	}
	return all
}

// needed lists the sources without which an analyzer cannot run.
func needed(an *analysis.Analyzer, from, state map[string]string) []string {
	if an.OneOf {
		for _, m := range an.Needs {
			if len(without([]*observe.Metric{m}, from, state, No)) == 0 {
				return nil
			}
		}
	}
	return without(an.Needs, from, state, No)
}

// without lists the sources of some metrics that cannot be read, or that can be
// read in part if that counts too.
func without(ms []*observe.Metric, from, state map[string]string, counts string) []string {
	var missing []string
	for _, m := range ms {
		source := cmp.Or(from[m.Key()], m.Key())
		bad := state[source] != Yes && (state[source] != Partly || counts == Partly)
		if bad && !slices.Contains(missing, source) {
			missing = append(missing, source)
		}
	}
	return missing
}
