// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"slices"

	"github.com/headroom-project/headroom/agent/observe"
)

// A Verdict is the answer in one word: the worst severity among the root causes,
// or Unknown.
type Verdict string

// Unknown is the verdict where no problem was found and too little was seen to
// call that healthy. It replaces healthy and info, and never a problem.
const Unknown Verdict = "unknown"

// Sight is how much of what there is to ask could be asked.
type Sight struct {
	// Asked of Questions could be asked. A question whose sources work and that
	// has no subject, such as a host without an event loop, counts as asked.
	Asked, Questions int
	// Unasked are those that could not be asked.
	Unasked []*Analyzer
	// Doubts are the gaps for which the absence of findings proves nothing,
	// however many questions were asked: see observe.Gap.Doubt.
	Doubts []observe.Gap
}

const (
	// halfBlind is the share of questions that could not be asked above which
	// a report says so in its first line. The same share of what an agent could
	// ask makes it not ready: below it the missing sources are named, and the
	// rest stands.
	halfBlind = 1.0 / 3
	// blind is the share from which silence is no answer at all.
	blind = 2.0 / 3
)

// HalfBlind reports whether much was not seen: many questions could not be asked, or
// they were asked of a part of the host.
func (s Sight) HalfBlind() bool {
	inPart := func(g observe.Gap) bool { return g.Source == observe.GapView }
	return s.unasked() > halfBlind || slices.ContainsFunc(s.Doubts, inPart)
}

// unasked is the share of questions that could not be asked.
func (s Sight) unasked() float64 {
	if s.Questions == 0 {
		return 0
	}
	return float64(s.Questions-s.Asked) / float64(s.Questions)
}

// Verdict is the verdict where worst is the worst severity among the root causes.
func (s Sight) Verdict(worst Severity) Verdict {
	if worst < Warning && (len(s.Doubts) > 0 || s.unasked() >= blind) {
		return Unknown
	}
	return Verdict(worst.String())
}

// Verdict is the verdict on everything that was found.
func (r *Result) Verdict() Verdict { return r.Sight.Verdict(r.Worst()) }

// Worst is the worst severity among the root causes. A symptom does not count: it
// ends with its cause, and a verdict that no shown finding has would mislead.
func (r *Result) Worst() Severity {
	worst := Healthy
	for _, f := range r.Findings {
		if f.SymptomOf == nil {
			worst = max(worst, f.Severity)
		}
	}
	return worst
}

// Enough reports whether the loss of some of the questions that an agent could ask
// leaves enough of them to rely on the answers.
func Enough(lost, askable int) bool { return float64(lost) <= halfBlind*float64(askable) }

// Doubt adds a gap for which the absence of findings proves nothing, such as
// that the process that was asked about ended.
func (r *Result) Doubt(g observe.Gap) {
	r.Gaps = append(r.Gaps, g)
	r.Sight.Doubts = append(r.Sight.Doubts, g)
}

// see sums up what could be asked of the analyzers.
func (r *Result) see(analyzers []*Analyzer) {
	r.Sight = Sight{Questions: len(analyzers)}
	for _, a := range analyzers {
		if r.asked(a) {
			r.Sight.Asked++
		} else {
			r.Sight.Unasked = append(r.Sight.Unasked, a)
		}
	}
	for _, g := range r.Gaps {
		if g.Doubt() && !slices.Contains(r.Sight.Doubts, g) {
			r.Sight.Doubts = append(r.Sight.Doubts, g)
		}
	}
}

// asked reports whether a question could be asked: of some subject, or of a
// host whose sources work and that has none. An analyzer that failed is in
// neither list.
func (r *Result) asked(a *Analyzer) bool {
	blind, nothing := false, false
	for _, s := range r.Skipped {
		if s.Analyzer == a {
			blind = blind || !s.NoSubject && len(s.Missing) > 0
			nothing = nothing || s.NoSubject
		}
	}
	for _, c := range r.Checked {
		if c.Analyzer == a {
			return c.Subjects > 0 || !blind
		}
	}
	return nothing && !blind
}

// unsure is the skip of a question that had no subject, if one of its sources saw a
// part only: the subjects may be in the rest.
func unsure(a *Analyzer, sources map[string]string, gaps []observe.Gap) []Skip {
	var missing []string
	for _, m := range a.Needs {
		if hasGap(gaps, sources[m.Key()]) {
			missing = append(missing, m.Key())
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return []Skip{{Analyzer: a, Reason: "nothing to check was seen, by sources that see a part only", Missing: missing}}
}

func hasGap(gaps []observe.Gap, source string) bool {
	return slices.ContainsFunc(gaps, func(g observe.Gap) bool { return source != "" && g.Source == source })
}

// noSubject reports whether the sources of all missing metrics could look, so
// that there was nothing for them to see.
func noSubject(missing []string, sources map[string]string, gaps []observe.Gap) bool {
	for _, m := range missing {
		source, known := sources[m]
		if !known || hasGap(gaps, source) {
			return false
		}
	}
	return len(missing) > 0
}
