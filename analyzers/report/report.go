// SPDX-License-Identifier: Apache-2.0

// Package report is the document that a result becomes: headroom/report/v1, with the
// keys and subjects of its findings. It computes nothing: what is worth saying was
// decided by the analyzers, and in which order by their driver. Package render writes
// it for people.
package report

import (
	"time"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

// SchemaName names the contract that outside tools rely on. It grows; a
// change of what is there is another version.
const SchemaName = "headroom/report/v1"

// A Report is a result as outsiders see it. An absent key is not known: no
// zero stands for a missing number.
type Report struct {
	Schema   string        `json:"schema"`
	Tool     Tool          `json:"tool"`
	Host     Host          `json:"host"`
	Window   Window        `json:"window"`
	Verdict  string        `json:"verdict"`
	Asked    Questions     `json:"questions"`
	Findings []*Finding    `json:"findings"`
	Checked  []Checked     `json:"checked"`
	Skipped  []Skip        `json:"skipped"`
	Gaps     []observe.Gap `json:"gaps"`
}

// Tool is who wrote the report.
type Tool struct {
	Version string `json:"version"`
}

// Host is the machine that was observed.
type Host struct {
	Name   string `json:"name,omitempty"`
	Kernel string `json:"kernel,omitempty"`
	CPUs   int    `json:"cpus,omitempty"`
	Memory number `json:"memory,omitempty"`
}

// Window is the time that was observed.
type Window struct {
	Start   string `json:"start"`
	End     string `json:"end"`
	Seconds number `json:"seconds"`
}

// Questions is how many of the questions could be asked.
type Questions struct {
	Asked int `json:"asked"`
	Of    int `json:"of"`
	// HalfBlind says that much was not seen: many could not be asked, or they were
	// asked of a part of the host.
	HalfBlind bool `json:"half_blind,omitempty"`
	// Lost counts those of an agent that could not be asked this time alone: they
	// could be asked before, or their sources hang or fail. The others cannot be
	// asked on this node.
	Lost int `json:"-"`
}

// Enough reports whether enough of what can be asked on this node was asked to
// rely on the answers.
func (q Questions) Enough() bool { return analysis.Enough(q.Lost, q.Asked+q.Lost) }

// Checked is how many subjects a question was asked of.
type Checked struct {
	ID       string `json:"id"`
	Subjects int    `json:"subjects"`
}

// Skip is a question that could not be asked.
type Skip struct {
	ID      string   `json:"id"`
	Reason  string   `json:"reason"`
	Missing []string `json:"missing"`
	// NoSubject says that the sources of what is missing work: there was nothing
	// of which to ask.
	NoSubject bool `json:"no_subject,omitempty"`
}

// Options are what a result does not know about itself.
type Options struct {
	// Version is the tool's.
	Version string
	// Keys are those of the result's findings, from a caller that has them already;
	// nil has them computed.
	Keys []string
}

// New makes the document.
func New(r *analysis.Result, o Options) *Report {
	rep := &Report{
		Schema:   SchemaName,
		Tool:     Tool{Version: o.Version},
		Host:     Host{Name: r.Host.Name, Kernel: r.Host.Kernel, CPUs: r.Host.CPUs, Memory: number(r.Host.Memory)},
		Window:   Window{Start: stamp(r.Window.Start), End: stamp(r.Window.End), Seconds: number(r.Window.Seconds)},
		Verdict:  string(r.Verdict()),
		Asked:    Questions{Asked: r.Sight.Asked, Of: r.Sight.Questions, HalfBlind: r.Sight.HalfBlind()},
		Findings: findings(r, o.Keys),
		Checked:  []Checked{},
		Skipped:  []Skip{},
		Gaps:     append([]observe.Gap{}, r.Gaps...),
	}
	for _, c := range r.Checked {
		rep.Checked = append(rep.Checked, Checked{ID: c.Analyzer.Name, Subjects: c.Subjects})
	}
	for _, s := range r.Skipped {
		rep.Skipped = append(rep.Skipped, Skip{ID: s.Analyzer.Name, Reason: s.Reason, Missing: append([]string{}, s.Missing...), NoSubject: s.NoSubject})
	}
	return rep
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
