// SPDX-License-Identifier: Apache-2.0

package live

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// A report has the fields that external tools read: it follows the published
// contract, not the types of the product.
type report struct {
	Schema  string `json:"schema"`
	Verdict string `json:"verdict"`
	Window  struct {
		Seconds float64 `json:"seconds"`
	} `json:"window"`
	Findings []finding `json:"findings"`
	Checked  []struct {
		ID       string `json:"id"`
		Subjects int    `json:"subjects"`
	} `json:"checked"`
	Skipped []struct {
		ID      string   `json:"id"`
		Reason  string   `json:"reason"`
		Missing []string `json:"missing"`
	} `json:"skipped"`
	Gaps []gap `json:"gaps"`

	raw          json.RawMessage // of the findings
	began, ended time.Time       // of the command, on the clock of the lab
	stolen       float64         // share of the CPU time that was stolen in the meantime
	seat         *seat           // in the meeting that the report belongs to, while the meeting lasts
}

type finding struct {
	ID              string           `json:"id"`
	Cause           string           `json:"cause"`
	Severity        string           `json:"severity"`
	State           string           `json:"state"`
	Confidence      float64          `json:"confidence"`
	Impact          float64          `json:"impact"`
	Subject         subject          `json:"subject"`
	Summary         string           `json:"summary"`
	Evidence        []evidence       `json:"evidence"`
	Blame           []blame          `json:"blame"`
	Recommendations []recommendation `json:"recommendations"`
	Forecast        *forecast        `json:"forecast"`
	SymptomOf       *reference       `json:"symptom_of"`
}

type subject struct {
	Kind      string `json:"kind"`
	PID       int    `json:"pid"`
	PIDs      []int  `json:"pids"` // instead of PID, of several processes
	TID       int    `json:"tid"`
	Name      string `json:"name"`
	Command   string `json:"command"`
	Runtime   string `json:"runtime"`
	Container string `json:"container"`
	Pod       string `json:"pod"`
	Cgroup    string `json:"cgroup"`
	Address   string `json:"address"`
}

type forecast struct {
	What string   `json:"what"`
	At   float64  `json:"at_seconds"`
	Low  *float64 `json:"low_seconds"`
	High *float64 `json:"high_seconds"`
}

type evidence struct {
	Metric string   `json:"metric"`
	Label  string   `json:"label"`
	Value  float64  `json:"value"`
	Unit   string   `json:"unit"`
	Bound  *float64 `json:"bound"`
}

type blame struct {
	Subject subject `json:"subject"`
	Share   float64 `json:"share"`
}

type recommendation struct {
	Verb     string   `json:"verb"`
	Quantity *float64 `json:"quantity"`
	Low      *float64 `json:"low"`
	High     *float64 `json:"high"`
	Unit     string   `json:"unit"`
	Action   string   `json:"action"`
	Verify   string   `json:"verify"`
}

type reference struct {
	ID      string  `json:"id"`
	Cause   string  `json:"cause"`
	Subject subject `json:"subject"`
}

type gap struct {
	Source string `json:"source"`
	Reason string `json:"reason"`
	Cure   string `json:"cure"`
}

const schema = "headroom/report/v1"

func parseReport(text []byte) (*report, error) {
	r := &report{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("reading the report: %w\n%s", err, text)
	}
	if r.Schema != schema {
		return nil, fmt.Errorf("schema is %q, want %q", r.Schema, schema)
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

// warns reports whether a finding is at warning or above.
func (f *finding) warns() bool { return f.Severity == "warning" || f.Severity == "critical" }

func (f *finding) String() string {
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

func (s subject) String() string {
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

// A who reports whether a subject matches.
type who func(subject) bool

func pid(pids ...int) who {
	return func(s subject) bool {
		return slices.Contains(pids, s.PID) || len(s.PIDs) > 0 && !slices.ContainsFunc(s.PIDs, func(p int) bool { return !slices.Contains(pids, p) })
	}
}

// inContainer matches the container and what runs in it.
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
	if !f.warns() {
		t.Fatalf("%s/%s is no more than %s; the report has:\n%s", id, cause, f.Severity, r)
	}
	return f
}

// note is find for a finding of any severity.
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
		case !f.warns() || !unwanted(f):
		case r.robbed(f):
			t.Logf("not held against headroom, as the hypervisor took %.0f%% of the CPU time: %s", 100*r.stolen, f)
		default:
			t.Errorf("unwanted: %s", f)
		}
	}
}

// robbed reports whether a finding says that CPU time is missing, on a test machine
// of which /proc/stat shows steal time: its programs then really wait, and a thread
// that the hypervisor stops looks as if it computed. On a machine without steal time
// every such finding fails a test. The window is shorter than the command, so that
// its share can be larger.
func (r *report) robbed(f *finding) bool {
	return r.stolen >= noticedSteal && slices.Contains(lacksCPU[f.ID], f.Cause)
}

// noticedSteal is the share of CPU time that the hypervisor takes from which it counts.
const noticedSteal = 0.03

// lacksCPU are the findings, with their causes, that steal time makes.
var lacksCPU = map[string][]string{
	"host-saturated":       {"cpu"},
	"run-queue-latency":    {"host-full", "noisy-neighbour", "own-threads"},
	"event-loop-blocked":   {"on-cpu", "run-queue", "mixed"},
	"event-loop-saturated": {"short-ticks"},
}

// nothingElse fails for each finding at warning or above that is not expected: a
// false positive.
func (r *report) nothingElse(t *testing.T, expected ...func(*finding) bool) {
	t.Helper()
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
	rec := f.Recommendations[0]
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

// explainedBy checks that the finding is folded under its cause.
func (f *finding) explainedBy(t *testing.T, id string) {
	t.Helper()
	if f.SymptomOf == nil || f.SymptomOf.ID != id {
		t.Errorf("not a symptom of %s: %s", id, f)
	}
}
