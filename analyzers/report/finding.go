// SPDX-License-Identifier: Apache-2.0

package report

import (
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

// A Finding is one problem, or one fact, about one subject.
type Finding struct {
	Key             string           `json:"key"`
	ID              string           `json:"id"`
	Cause           string           `json:"cause"`
	Category        string           `json:"category"`
	Row             int              `json:"row"` // the number of Category, which readers of the first version know
	Severity        Severity         `json:"severity"`
	Confidence      number           `json:"confidence"`
	Impact          number           `json:"impact"`
	State           string           `json:"state"`
	Since           string           `json:"since"`
	Opened          string           `json:"opened,omitempty"` // when the agent first saw it, of all times that it came back
	Muted           bool             `json:"muted,omitempty"`  // by the agent's config: it must not alert
	Subject         Subject          `json:"subject"`
	Subjects        []Subject        `json:"subjects,omitempty"` // of a finding about several; Subject is what they share
	Summary         string           `json:"summary"`
	Evidence        []Evidence       `json:"evidence"`
	Blame           []Blame          `json:"blame,omitempty"`
	Culprits        []Culprit        `json:"culprits,omitempty"`
	Exemplars       []Exemplar       `json:"exemplars,omitempty"`
	Recommendations []Recommendation `json:"recommendations"`
	Forecast        *Forecast        `json:"forecast,omitempty"`
	SymptomOf       *Ref             `json:"symptom_of,omitempty"`

	// Local is the text for readers of the subject's namespace; nil for a subject
	// without a namespace, and in a report that was read back.
	Local *Local `json:"-"`
}

// Evidence is one number on which the finding is based. A missing bound differs
// from a bound of 0.
type Evidence struct {
	Metric string  `json:"metric,omitempty"`
	Label  string  `json:"label,omitempty"`
	Value  number  `json:"value"`
	Unit   string  `json:"unit,omitempty"`
	Bound  *number `json:"bound,omitempty"`
	// Least and Most are the range over several subjects; Value is that of the worst
	// one.
	Least *number `json:"least,omitempty"`
	Most  *number `json:"most,omitempty"`
}

// Blame is a share of what the subject lost.
type Blame struct {
	Subject Subject `json:"subject"`
	Share   number  `json:"share"`
}

// A Culprit is code that took a share of the time that the finding is about.
type Culprit struct {
	Share  number  `json:"share"`
	Frames []Frame `json:"frames"`         // functions of the program, the innermost first
	Uses   string  `json:"uses,omitempty"` // what the first called, of a library or of the runtime
}

// A Frame is a function and where it is defined.
type Frame struct {
	Function string `json:"function,omitempty"`
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`
}

// A Forecast predicts when a resource runs out, from the end of the window.
type Forecast struct {
	What        string  `json:"what"`
	AtSeconds   number  `json:"at_seconds"`
	LowSeconds  *number `json:"low_seconds,omitempty"`
	HighSeconds *number `json:"high_seconds,omitempty"`
}

// An Exemplar is one stall of the subject, to find it in the subject's logs.
type Exemplar struct {
	Start      string `json:"start"`
	Seconds    number `json:"seconds"`
	Parts      Parts  `json:"parts"`
	Syscall    string `json:"syscall,omitempty"`
	InProgress bool   `json:"in_progress,omitempty"`
}

// Parts holds the time of a stall by part, in seconds.
type Parts struct {
	CPU       number `json:"cpu"`
	RunQueue  number `json:"run_queue"`
	Throttled number `json:"throttled"`
	Blocked   number `json:"blocked"`
	PageFault number `json:"page_fault"`
}

// A Recommendation is an action with its quantity and a way to verify it.
type Recommendation struct {
	Verb     string        `json:"verb"`
	Quantity *number       `json:"quantity,omitempty"`
	Low      *number       `json:"low,omitempty"`
	High     *number       `json:"high,omitempty"`
	Unit     string        `json:"unit,omitempty"`
	Action   string        `json:"action"`
	Verify   string        `json:"verify,omitempty"`
	Risk     string        `json:"risk,omitempty"`
	NotIf    string        `json:"not_if,omitempty"`
	Expect   []Expectation `json:"expect,omitempty"`
}

// An Expectation is the expected change of a metric.
type Expectation struct {
	Metric string `json:"metric,omitempty"`
	Label  string `json:"label,omitempty"`
	From   number `json:"from"`
	To     number `json:"to"`
	// Low and High are the interval of To; absent if it is not known.
	Low  *number `json:"low,omitempty"`
	High *number `json:"high,omitempty"`
	Unit string  `json:"unit,omitempty"`
}

// A Ref identifies the finding that explains another.
type Ref struct {
	Key     string  `json:"key,omitempty"`
	ID      string  `json:"id"`
	Cause   string  `json:"cause"`
	Subject Subject `json:"subject"`
}

// stateObserved is the state of a finding in a single evaluation; pending, firing
// and cleared need the agent.
const stateObserved = "observed"

func findings(r *analysis.Result, keys []string) []*Finding {
	if keys == nil {
		keys = Keys(r.Findings, r.Window.Index)
	}
	out := make([]*Finding, 0, len(r.Findings))
	place := make(map[*analysis.Finding]*Finding)
	for i, f := range r.Findings {
		found := finding(r, f)
		found.Key = keys[i]
		out = append(out, found)
		place[f] = found
	}
	for _, f := range r.Findings {
		if root := place[f.SymptomOf]; root != nil {
			place[f].SymptomOf.Key = root.Key
		}
	}
	return out
}

func finding(r *analysis.Result, f *analysis.Finding) *Finding {
	return &Finding{
		ID:              f.Analyzer.Name,
		Cause:           f.Cause,
		Category:        string(f.Analyzer.Category),
		Row:             f.Analyzer.Category.Number(),
		Severity:        Severity(f.Severity),
		Confidence:      share(f.Confidence),
		Impact:          share(f.Impact),
		State:           stateObserved,
		Since:           stamp(r.Window.Start),
		Subject:         about(r, f),
		Subjects:        subjects(r, f),
		Summary:         f.Summary,
		Evidence:        evidence(f.Evidence),
		Blame:           blame(r, f.Blame),
		Culprits:        culprits(f.Culprits),
		Exemplars:       exemplars(f.Exemplars),
		Recommendations: recommendations(f.Recommendations),
		Forecast:        forecast(f.Forecast),
		SymptomOf:       ref(r, f.SymptomOf),
		Local:           local(r, f),
	}
}

func evidence(es []analysis.Evidence) []Evidence {
	out := []Evidence{}
	for _, e := range es {
		if v := known(e.Value); v != nil {
			out = append(out, Evidence{Metric: key(e.Metric), Label: e.Label, Value: *v, Unit: string(e.Unit), Bound: knownOf(e.Bound), Least: knownOf(e.Least), Most: knownOf(e.Most)})
		}
	}
	return out
}

// key returns the key of a metric, or "" for a number without a metric.
func key(m *observe.Metric) string {
	if m == nil {
		return ""
	}
	return m.Key()
}

func blame(r *analysis.Result, bs []analysis.Blame) []Blame {
	var out []Blame
	for _, b := range bs {
		if b.Subject == observe.None {
			continue // over the limit of the index
		}
		out = append(out, Blame{Subject: subject(r, b.Subject), Share: share(b.Share)})
	}
	return out
}

func culprits(cs []analysis.Culprit) []Culprit {
	var out []Culprit
	for _, c := range cs {
		one := Culprit{Share: share(c.Share), Uses: c.Uses}
		for _, f := range c.Frames {
			one.Frames = append(one.Frames, Frame{f.Function, f.File, f.Line})
		}
		out = append(out, one)
	}
	return out
}

func exemplars(stalls []observe.Stall) []Exemplar {
	var out []Exemplar
	for _, s := range stalls {
		out = append(out, Exemplar{
			Start: stamp(s.Start), Seconds: number(s.Duration), Syscall: s.Syscall, InProgress: s.InProgress,
			Parts: Parts{number(s.Parts.CPU), number(s.Parts.RunQueue), number(s.Parts.Throttled), number(s.Parts.Blocked), number(s.Parts.PageFault)},
		})
	}
	return out
}

func recommendations(recs []analysis.Recommendation) []Recommendation {
	out := []Recommendation{}
	for _, rec := range recs {
		one := Recommendation{
			Verb: string(rec.Verb), Action: rec.Action, Verify: rec.Verify, Risk: rec.Risk, NotIf: rec.NotIf,
			Expect: expectations(rec.Expect),
		}
		if q := rec.Quantity; q != nil {
			one.Quantity, one.Low, one.High, one.Unit = known(q.Value), knownOf(q.Low), knownOf(q.High), q.Unit
		}
		out = append(out, one)
	}
	return out
}

func forecast(f *analysis.Forecast) *Forecast {
	if f == nil {
		return nil
	}
	at := known(f.At)
	if at == nil {
		return nil
	}
	return &Forecast{What: f.What, AtSeconds: *at, LowSeconds: knownOf(f.Low), HighSeconds: knownOf(f.High)}
}

func expectations(es []analysis.Expectation) []Expectation {
	var out []Expectation
	for _, e := range es {
		from, to := known(e.From), known(e.To)
		if from != nil && to != nil {
			out = append(out, Expectation{Metric: key(e.Metric), Label: e.Label, From: *from, To: *to, Low: knownOf(e.Low), High: knownOf(e.High), Unit: string(e.Unit)})
		}
	}
	return out
}

func ref(r *analysis.Result, cause *analysis.Finding) *Ref {
	if cause == nil {
		return nil
	}
	return &Ref{ID: cause.Analyzer.Name, Cause: cause.Cause, Subject: about(r, cause)}
}
