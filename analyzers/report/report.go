// SPDX-License-Identifier: Apache-2.0

// Package report converts a result to a document: headroom/report/v1, with the keys
// and subjects of its findings. It evaluates nothing: analyzers decide what to
// report, and the driver decides the order. Package render writes the document for
// people.
package report

import (
	"time"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

// SchemaName is the name of the schema that other tools rely on. Fields may be
// added; any other change is a new version.
const SchemaName = "headroom/report/v1"

// A Report is the public form of a result. An absent key means that the value is
// not known; 0 never stands for a missing number.
type Report struct {
	Schema  string    `json:"schema"`
	Tool    Tool      `json:"tool"`
	Host    Host      `json:"host"`
	Window  Window    `json:"window"`
	Verdict string    `json:"verdict"`
	Asked   Questions `json:"questions"`
	// Requests are the services with the most requests; absent if there are none, or if
	// they are not observed.
	Requests []Requests    `json:"requests,omitempty"`
	Findings []*Finding    `json:"findings"`
	Checked  []Checked     `json:"checked"`
	Skipped  []Skip        `json:"skipped"`
	Gaps     []observe.Gap `json:"gaps"`
}

// Tool is the program that wrote the report.
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

// Window is the time of the observation.
type Window struct {
	Start   string `json:"start"`
	End     string `json:"end"`
	Seconds number `json:"seconds"`
}

// Questions counts the analyzers that could run.
type Questions struct {
	Asked int `json:"asked"`
	Of    int `json:"of"`
	// HalfBlind is set if much was not observed: many analyzers could not run, or they
	// evaluated only a part of the host.
	HalfBlind bool `json:"half_blind,omitempty"`
	// Unseen counts the servers that could not be observed although their sources work.
	Unseen int `json:"unseen,omitempty"`
	// Lost counts those of an agent that could not run only this time: they could run
	// before, or their sources hang or fail. The others are not supported on this
	// node.
	Lost int `json:"-"`
}

// Enough reports whether enough of the analyzers that this node supports could run
// to rely on the result.
func (q Questions) Enough() bool { return analysis.Enough(q.Lost, q.Asked+q.Lost) }

// Checked is the number of subjects that an analyzer evaluated.
type Checked struct {
	ID       string `json:"id"`
	Subjects int    `json:"subjects"`
}

// Skip is an analyzer that could not run.
type Skip struct {
	ID      string   `json:"id"`
	Reason  string   `json:"reason"`
	Missing []string `json:"missing"`
	// NoSubject is set if the sources of the missing metrics work: there was nothing
	// to evaluate.
	NoSubject bool `json:"no_subject,omitempty"`
}

// Options are values that are not part of a result.
type Options struct {
	// Version is the version of the tool.
	Version string
	// Keys are the keys of the result's findings, from a caller that has them already;
	// nil computes them.
	Keys []string
}

// New converts a result to a report.
func New(r *analysis.Result, o Options) *Report {
	rep := &Report{
		Schema:   SchemaName,
		Tool:     Tool{Version: o.Version},
		Host:     Host{Name: r.Host.Name, Kernel: r.Host.Kernel, CPUs: r.Host.CPUs, Memory: number(r.Host.Memory)},
		Window:   Window{Start: stamp(r.Window.Start), End: stamp(r.Window.End), Seconds: number(r.Window.Seconds)},
		Verdict:  string(r.Verdict()),
		Asked:    Questions{Asked: r.Sight.Asked, Of: r.Sight.Questions, HalfBlind: r.Sight.HalfBlind(), Unseen: r.Sight.Unseen},
		Requests: requests(r),
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
