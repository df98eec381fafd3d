// SPDX-License-Identifier: Apache-2.0

package live

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/lab/contract"
)

// A report is what the command wrote, and what the lab knows about its window.
type report struct {
	contract.Report
	Findings []finding `json:"findings"`

	raw          json.RawMessage // of the findings
	began, ended time.Time       // of the command, on the clock of the lab
	stolen       float64         // share of the CPU time that was stolen in the meantime
	seat         *seat           // in the meeting that the report belongs to, while the meeting lasts
}

type (
	subject = contract.Subject
	gap     = contract.Gap
)

// A finding has checks that fail a test.
type finding struct{ contract.Finding }

// A recommendation has checks that fail a test.
type recommendation struct{ contract.Recommendation }

func parseReport(text []byte) (*report, error) {
	r := &report{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("reading the report: %w\n%s", err, text)
	}
	if r.Schema != contract.Schema {
		return nil, fmt.Errorf("schema is %q, want %q", r.Schema, contract.Schema)
	}
	var parts struct {
		Findings json.RawMessage `json:"findings"`
	}
	if err := json.Unmarshal(text, &parts); err != nil {
		return nil, err
	}
	r.raw = parts.Findings
	return r, nil
}

// A who reports whether a subject matches.
type who func(subject) bool

func pid(pids ...int) who {
	return func(s subject) bool {
		return slices.Contains(pids, s.PID) || len(s.PIDs) > 0 && !slices.ContainsFunc(s.PIDs, func(p int) bool { return !slices.Contains(pids, p) })
	}
}

// inContainer matches the container and its processes.
func inContainer(id string) who {
	return func(s subject) bool {
		return s.Container == id || strings.Contains(s.Cgroup, id)
	}
}

// find returns the finding with an id and cause about a subject, at warning or
// above.
func (r *report) find(t *testing.T, id, cause string, w who) *finding {
	t.Helper()
	f := r.note(t, id, cause, w)
	if !f.Warns() {
		t.Fatalf("%s/%s is no more than %s; the report has:\n%s", id, cause, f.Severity, r)
	}
	return f
}

// note is like find, for a finding of any severity.
func (r *report) note(t *testing.T, id, cause string, w who) *finding {
	t.Helper()
	for i := range r.Findings {
		if f := &r.Findings[i]; f.ID == id && f.Cause == cause && w(f.Subject) {
			return f
		}
	}
	t.Fatalf("no %s/%s about the right subject; the report has:\n%s", id, cause, r)
	return nil
}

// absent fails for each finding at warning or above of these ids.
func (r *report) absent(t *testing.T, unwanted func(*finding) bool) {
	t.Helper()
	for i := range r.Findings {
		f := &r.Findings[i]
		switch {
		case !f.Warns() || !unwanted(f):
		case f.MayBeSteal(r.stolen):
			t.Logf("not held against headroom, as the hypervisor took %.0f%% of the CPU time: %s", 100*r.stolen, f)
		default:
			t.Errorf("unwanted: %s", f)
		}
	}
}

// nothingElse fails for each finding at warning or above that is not expected: a
// false positive. Requests that wait are the harm of any other finding that explains
// them.
func (r *report) nothingElse(t *testing.T, expected ...func(*finding) bool) {
	t.Helper()
	expected = append(expected, func(f *finding) bool { return f.ID == requestsWaiting && f.SymptomOf != nil })
	if r.seat != nil {
		r.seat.expect(expected)
		return
	}
	r.absent(t, func(f *finding) bool {
		return !slices.ContainsFunc(expected, func(is func(*finding) bool) bool { return is(f) })
	})
}

// about matches findings with an id about a subject, with any cause.
func about(id string, w who) func(*finding) bool {
	return func(f *finding) bool { return f.ID == id && w(f.Subject) }
}

func (r *report) String() string {
	if len(r.Findings) == 0 {
		return "  (nothing; verdict " + r.Verdict + ")\n" + r.silence()
	}
	var b strings.Builder
	for i := range r.Findings {
		fmt.Fprintf(&b, "  %s\n", &r.Findings[i])
	}
	return b.String() + r.silence()
}

// silence returns the blind spots of the report.
func (r *report) silence() string {
	var b strings.Builder
	for _, s := range r.Skipped {
		fmt.Fprintf(&b, "  skipped %s: %s\n", s.ID, s.Reason)
	}
	for _, g := range r.Gaps {
		fmt.Fprintf(&b, "  gap %s: %s (cure: %s)\n", g.Source, g.Reason, g.Cure)
	}
	return b.String()
}

// recommends checks the verb of the first recommendation, and that it has an action
// and a way to verify it.
func (f *finding) recommends(t *testing.T, verb string) recommendation {
	t.Helper()
	if len(f.Recommendations) == 0 {
		t.Fatalf("no recommendation: %s", f)
	}
	rec := recommendation{f.Recommendations[0]}
	if rec.Verb != verb {
		t.Errorf("verb = %s, want %s: %s", rec.Verb, verb, f)
	}
	if rec.Action == "" || rec.Verify == "" {
		t.Errorf("the recommendation lacks an action or a way to verify it: %s", f)
	}
	return rec
}

// quantity returns the number of the recommendation, which must be within bounds.
func (rec recommendation) quantity(t *testing.T, low, high float64) float64 {
	t.Helper()
	if rec.Quantity == nil {
		t.Fatalf("%s without a number: %s", rec.Verb, rec.Action)
	}
	if *rec.Quantity < low || *rec.Quantity > high {
		t.Errorf("%s %g %s, want %g to %g: %s", rec.Verb, *rec.Quantity, rec.Unit, low, high, rec.Action)
	}
	return *rec.Quantity
}

// mentions checks that the summary or the evidence contains one of the words.
func (f *finding) mentions(t *testing.T, words ...string) {
	t.Helper()
	said := f.Summary
	for _, e := range f.Evidence {
		said += " " + e.Label
	}
	if !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(said, w) }) {
		t.Errorf("neither summary nor evidence says %s: %s", strings.Join(words, " or "), f)
	}
}

// explainedBy checks that the finding is a symptom of another one.
func (f *finding) explainedBy(t *testing.T, id string) {
	t.Helper()
	if f.SymptomOf == nil || f.SymptomOf.ID != id {
		t.Errorf("not a symptom of %s: %s", id, f)
	}
}
