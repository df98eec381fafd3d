// SPDX-License-Identifier: Apache-2.0

package checkup

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/run"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/suite"
	"github.com/headroom-project/headroom/cmd/headroom/internal/host"
)

// have returns three samplers: the first can be read, the second can be read in part,
// the third cannot be read.
func have() (samplers []*sampler.Sampler, sources []Source) {
	samplers = []*sampler.Sampler{
		{Name: "cpu", Doc: "/proc/stat", Provides: []*observe.Metric{catalog.CPUUser}},
		{Name: "proc", Provides: []*observe.Metric{catalog.ProcessCPU}},
		{Name: "psi", Provides: []*observe.Metric{catalog.HostCPUSome}},
	}
	status := []run.SamplerStatus{{Sampler: samplers[0]}, {Sampler: samplers[1]}, {Sampler: samplers[2], Err: sampler.ErrNotSupported}}
	gaps := []observe.Gap{
		{Source: "proc", Reason: "some processes are hidden", Cure: "run as root"},
		{Source: "psi", Reason: "no /proc/pressure"},
	}
	return samplers, sourcesOf(status, gaps)
}

func TestSources(t *testing.T) {
	_, got := have()
	want := []Source{
		{Name: "cpu", Reads: "/proc/stat", State: Yes},
		{Name: "proc", State: Partly, Gaps: []Trait{{"some processes are hidden", "run as root"}}},
		{Name: "psi", State: No, Gaps: []Trait{{Reason: "no /proc/pressure"}}},
	}
	if !slices.EqualFunc(got, want, func(a, b Source) bool {
		return a.Name == b.Name && a.Reads == b.Reads && a.State == b.State && slices.Equal(a.Gaps, b.Gaps)
	}) {
		t.Errorf("sources = %+v, want %+v", got, want)
	}
}

// TestAnswers checks the answers for missing sources: a question that needs a missing
// source cannot be answered; a question that needs or wants a partly readable source,
// or wants a missing one, is answered in part.
func TestAnswers(t *testing.T) {
	metrics := func(m ...*observe.Metric) []*observe.Metric { return m }
	whole, part, none := catalog.CPUUser, catalog.ProcessCPU, catalog.HostCPUSome
	samplers, sources := have()
	for _, c := range []struct {
		name    string
		asks    analysis.Analyzer
		state   string
		without []string
	}{
		{"all it needs", analysis.Analyzer{Needs: metrics(whole)}, Yes, nil},
		{"needs a part", analysis.Analyzer{Needs: metrics(whole, part)}, Partly, []string{"proc"}},
		{"wants what is missing", analysis.Analyzer{Needs: metrics(whole), Wants: metrics(none)}, Partly, []string{"psi"}},
		{"needs what is missing", analysis.Analyzer{Needs: metrics(none, whole, part)}, No, []string{"psi"}},
		{"needs one of two", analysis.Analyzer{Needs: metrics(none, whole), OneOf: true}, Partly, []string{"psi"}},
		{"needs one of what is missing", analysis.Analyzer{Needs: metrics(none), OneOf: true}, No, []string{"psi"}},
		{"needs what no sampler has", analysis.Analyzer{Needs: metrics(catalog.DiskReads)}, No, []string{catalog.DiskReads.Key()}},
		{"names a source once", analysis.Analyzer{Needs: metrics(none, none)}, No, []string{"psi"}},
	} {
		c.asks.Name = c.name
		got := answers([]*analysis.Analyzer{&c.asks}, samplers, sources)[0]
		if got.ID != c.name || got.State != c.state || !slices.Equal(got.Without, c.without) {
			t.Errorf("%s: %s without %q, want %s without %q", got.ID, got.State, got.Without, c.state, c.without)
		}
	}
}

// TestBlind checks that a complete answer becomes a partial one if parts of the host
// are hidden.
func TestBlind(t *testing.T) {
	c := Checkup{Answers: []Answer{{State: Yes}, {State: Partly, Without: []string{"psi"}}, {State: No, Without: []string{"cpu"}}}}
	if whole, partly := c.Count(); whole != 1 || partly != 1 {
		t.Errorf("%d whole answers and %d in part, want one of each", whole, partly)
	}
	if inPart(slices.Clone(c.Answers), nil)[0].State != Yes {
		t.Error("with the whole host seen, an answer is not whole")
	}
	c.Answers = inPart(c.Answers, []Trait{{Reason: "a pid namespace"}})
	if whole, partly := c.Count(); whole != 0 || partly != 2 {
		t.Errorf("half blind there are %d whole answers and %d in part, want none and two", whole, partly)
	}
	for i, want := range []bool{true, false, false} {
		if got := c.Answers[i].OfWhatIsSeen(); got != want {
			t.Errorf("answer %d, %+v, is of what is seen: %v, want %v", i, c.Answers[i], got, want)
		}
	}
}

// TestRun checks that on this host every sampler has a state and every question an
// answer, and that anything not completely readable has a reason.
func TestRun(t *testing.T) {
	c, err := Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if c.Schema != Schema || len(c.Samplers) != len(host.Samplers) || len(c.Answers) != len(suite.Analyzers) || c.Host.CPUs < 1 {
		t.Errorf("%s on a host of %d CPUs: %d of %d samplers, %d answers to %d questions",
			c.Schema, c.Host.CPUs, len(c.Samplers), len(host.Samplers), len(c.Answers), len(suite.Analyzers))
	}
	for _, s := range c.Samplers {
		if (s.State == Yes) != (len(s.Gaps) == 0) {
			t.Errorf("%s is %s with the gaps %+v", s.Name, s.State, s.Gaps)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if c, err := Run(ctx); err != nil && !errors.Is(err, context.Canceled) || err == nil && len(c.Answers) == 0 {
		t.Errorf("interrupted: %+v, %v", c, err)
	}
}
