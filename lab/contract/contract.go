// SPDX-License-Identifier: Apache-2.0

// Package contract reads the published JSON report of headroom as external tools do,
// so that tests and commands of the lab do not depend on types of the product.
package contract

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// A Report has the fields that external tools read.
type Report struct {
	Schema  string `json:"schema"`
	Verdict string `json:"verdict"`
	Window  struct {
		Seconds float64 `json:"seconds"`
	} `json:"window"`
	Findings []Finding `json:"findings"`
	Checked  []struct {
		ID       string `json:"id"`
		Subjects int    `json:"subjects"`
	} `json:"checked"`
	Skipped []struct {
		ID      string   `json:"id"`
		Reason  string   `json:"reason"`
		Missing []string `json:"missing"`
	} `json:"skipped"`
	Gaps []Gap `json:"gaps"`
}

// A Finding is one problem of one subject.
type Finding struct {
	ID              string           `json:"id"`
	Cause           string           `json:"cause"`
	Severity        string           `json:"severity"`
	State           string           `json:"state"`
	Confidence      float64          `json:"confidence"`
	Impact          float64          `json:"impact"`
	Subject         Subject          `json:"subject"`
	Summary         string           `json:"summary"`
	Evidence        []Evidence       `json:"evidence"`
	Blame           []Blame          `json:"blame"`
	Recommendations []Recommendation `json:"recommendations"`
	Forecast        *Forecast        `json:"forecast"`
	SymptomOf       *Reference       `json:"symptom_of"`
}

// A Subject is what a finding is about.
type Subject struct {
	Kind      string `json:"kind"`
	PID       int    `json:"pid"`
	PIDs      []int  `json:"pids"` // instead of PID, if there are several processes
	TID       int    `json:"tid"`
	Name      string `json:"name"`
	Command   string `json:"command"`
	Runtime   string `json:"runtime"`
	Container string `json:"container"`
	Pod       string `json:"pod"`
	Cgroup    string `json:"cgroup"`
	Address   string `json:"address"`
}

// A Forecast is the time at which a limit is reached.
type Forecast struct {
	What string   `json:"what"`
	At   float64  `json:"at_seconds"`
	Low  *float64 `json:"low_seconds"`
	High *float64 `json:"high_seconds"`
}

// Evidence is a measured number, with its bound.
type Evidence struct {
	Metric string   `json:"metric"`
	Label  string   `json:"label"`
	Value  float64  `json:"value"`
	Unit   string   `json:"unit"`
	Bound  *float64 `json:"bound"`
}

// Blame is the share of a subject in a problem.
type Blame struct {
	Subject Subject `json:"subject"`
	Share   float64 `json:"share"`
}

// A Recommendation is a fix with a number.
type Recommendation struct {
	Verb     string   `json:"verb"`
	Quantity *float64 `json:"quantity"`
	Low      *float64 `json:"low"`
	High     *float64 `json:"high"`
	Unit     string   `json:"unit"`
	Action   string   `json:"action"`
	Verify   string   `json:"verify"`
	Expect   []Change `json:"expect"`
}

// A Change is the expected change of a metric.
type Change struct {
	From float64  `json:"from"`
	To   float64  `json:"to"`
	Low  *float64 `json:"low"`
	High *float64 `json:"high"`
}

// A Reference names another finding of the report.
type Reference struct {
	ID      string  `json:"id"`
	Cause   string  `json:"cause"`
	Subject Subject `json:"subject"`
}

// A Gap is what headroom could not observe.
type Gap struct {
	Source string `json:"source"`
	Reason string `json:"reason"`
	Cure   string `json:"cure"`
}

// Schema is the version of the contract that this package reads.
const Schema = "headroom/report/v1"

// Parse reads the output of headroom diagnose -o json.
func Parse(text []byte) (*Report, error) {
	r := &Report{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("reading the report: %w\n%s", err, text)
	}
	if r.Schema != Schema {
		return nil, fmt.Errorf("reading the report: schema is %q, want %q", r.Schema, Schema)
	}
	return r, nil
}

// Warns reports whether a finding is at warning or above.
func (f *Finding) Warns() bool { return f.Severity == "warning" || f.Severity == "critical" }

func (f *Finding) String() string {
	s := fmt.Sprintf("%s %s/%s on %s (confidence %.2f, impact %.2f): %s",
		f.Severity, f.ID, f.Cause, f.Subject, f.Confidence, f.Impact, f.Summary)
	for _, r := range f.Recommendations {
		s += "\n    → " + r.Verb
		if r.Quantity != nil {
			s += fmt.Sprintf(" %g %s", *r.Quantity, r.Unit)
		}
		s += ": " + r.Action
	}
	if f.SymptomOf != nil {
		s += fmt.Sprintf("\n    symptom of %s/%s on %s", f.SymptomOf.ID, f.SymptomOf.Cause, f.SymptomOf.Subject)
	}
	return s
}

func (s Subject) String() string {
	parts := []string{s.Kind}
	for _, part := range []string{s.Name, s.Container} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	if s.PID != 0 {
		parts = append(parts, fmt.Sprintf("pid %d", s.PID))
	}
	if len(s.PIDs) > 0 {
		parts = append(parts, fmt.Sprintf("pids %v", s.PIDs))
	}
	return strings.Join(parts, " ")
}

// MayBeSteal reports whether steal time can explain a finding, given the share of
// steal time in /proc/stat during the command. While the hypervisor runs other
// machines, programs wait, and a stopped thread looks as if it ran on the CPU. The
// window is shorter than the command, so its share can be larger.
func (f *Finding) MayBeSteal(stolen float64) bool {
	return stolen >= NoticedSteal && slices.Contains(lacksCPU[f.ID], f.Cause)
}

// NoticedSteal is the lowest share of steal time that counts.
const NoticedSteal = 0.03

// lacksCPU has the findings, with their causes, that steal time can produce.
var lacksCPU = map[string][]string{
	"host-saturated":       {"cpu"},
	"run-queue-latency":    {"host-full", "noisy-neighbour", "own-threads"},
	"event-loop-blocked":   {"on-cpu", "run-queue", "mixed"},
	"event-loop-saturated": {"short-ticks"},
}
