// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/headroom-project/headroom/lab/contract"
)

// An outcome is the result of comparing a report with the right answer of a cell.
type outcome string

const (
	right      outcome = "right"
	wrongFix   outcome = "wrong fix"   // right cause, wrong first recommendation
	wrongCause outcome = "wrong cause" // found with another cause, or folded under another finding
	tooMild    outcome = "too mild"    // below the expected severity
	named      outcome = "gap"         // not found, and a Gap names the process
	missing    outcome = "missing"
	falseAlarm outcome = "false warning" // of a healthy server
	notRun     outcome = "not run"       // a program is missing, or the fault did not occur
)

// A verdict is the outcome of a cell with its reasons.
type verdict struct {
	Outcome  outcome  `json:"outcome"`
	Why      string   `json:"why,omitempty"`
	Warnings int      `json:"warnings"`         // number of findings at warning or above
	False    []string `json:"false,omitempty"`  // false warnings
	Stolen   []string `json:"stolen,omitempty"` // warnings explained by steal time
	Beside   []string `json:"beside,omitempty"` // warnings about busy programs that the cell did not start
}

// judge compares a report with the right answer. is reports whether a subject is the
// server, ours whether it is anything that the cell started. host is how the CPUs
// were used during the observation.
func judge(r *contract.Report, want answer, is, ours func(contract.Subject) bool, host use) verdict {
	var v verdict
	for i := range r.Findings {
		f := &r.Findings[i]
		if !f.Warns() {
			continue
		}
		v.Warnings++
		switch {
		case want.id != "" && f.ID == want.id && ours(f.Subject),
			lists(want.also, f) && ours(f.Subject),
			lists(want.ofHost, f) && aboutHost(f.Subject),
			f.SymptomOf != nil && f.SymptomOf.ID == want.id:
		case f.MayBeSteal(host.stolen):
			v.Stolen = append(v.Stolen, short(f))
		case host.others >= othersMatter && !is(f.Subject):
			v.Beside = append(v.Beside, short(f))
		default:
			v.False = append(v.False, short(f))
		}
	}
	if want.id == "" {
		v.Outcome = right
		if len(v.False) > 0 {
			v.Outcome, v.Why = falseAlarm, v.False[0]
		}
		return v
	}
	v.Outcome, v.Why = missing, "no "+want.id
	for i := range r.Findings {
		f := &r.Findings[i]
		if f.ID != want.id && !(want.causes == nil && lists(want.also, f)) || !is(f.Subject) {
			continue
		}
		if o, why := want.grade(f); rank(o) < rank(v.Outcome) {
			v.Outcome, v.Why = o, why
		}
	}
	if v.Outcome == missing {
		if gap := gapAbout(r, is); gap != "" {
			v.Outcome, v.Why = named, gap
		}
	}
	return v
}

// grade compares one finding with the right answer.
func (want answer) grade(f *contract.Finding) (outcome, string) {
	switch {
	case want.causes != nil && !slices.Contains(want.causes, f.Cause):
		return wrongCause, short(f)
	case f.SymptomOf != nil && f.SymptomOf.ID != want.id:
		return wrongCause, short(f) + " as a symptom of " + f.SymptomOf.ID + "/" + f.SymptomOf.Cause
	case !f.Warns(), want.severity == "critical" && f.Severity != "critical":
		return tooMild, short(f)
	case want.verbs != nil && (len(f.Recommendations) == 0 || !slices.Contains(want.verbs, f.Recommendations[0].Verb)):
		if len(f.Recommendations) == 0 {
			return wrongFix, short(f) + ", without a recommendation"
		}
		return wrongFix, f.Recommendations[0].Verb + ": " + f.Recommendations[0].Action
	}
	return right, ""
}

// rank orders outcomes from best to worst.
func rank(o outcome) int {
	return slices.Index([]outcome{right, wrongFix, tooMild, wrongCause, named, missing}, o)
}

// lists reports whether a list contains a finding, as id or id/cause.
func lists(list []string, f *contract.Finding) bool {
	return slices.Contains(list, f.ID) || slices.Contains(list, f.ID+"/"+f.Cause)
}

// gapAbout returns the reason of a Gap that names a process of the server.
func gapAbout(r *contract.Report, is func(contract.Subject) bool) string {
	for _, g := range r.Gaps {
		for _, word := range strings.FieldsFunc(g.Reason, func(c rune) bool { return c < '0' || c > '9' }) {
			var pid int
			if fmt.Sscan(word, &pid); is(contract.Subject{PID: pid}) {
				return g.Source + ": " + g.Reason
			}
		}
	}
	return ""
}

// short returns one line about a finding.
func short(f *contract.Finding) string {
	return fmt.Sprintf("%s %s/%s: %s", f.Severity, f.ID, f.Cause, f.Summary)
}
