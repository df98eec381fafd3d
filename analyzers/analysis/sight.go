// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"slices"

	"github.com/headroom-project/headroom/agent/observe"
)

// A Verdict is the result in one word: the highest severity among the root causes,
// or Unknown.
type Verdict string

// Unknown is the verdict if no problem was found and too little was observed to
// call that healthy. It replaces healthy and info, but never a problem.
const Unknown Verdict = "unknown"

// Sight reports how many of the analyzers could run.
type Sight struct {
	// Asked of Questions could run. An analyzer whose sources work but that has no
	// subject, such as on a host without an event loop, counts as one that ran.
	Asked, Questions int
	// Unasked are those that could not run.
	Unasked []*Analyzer
	// Doubts are the gaps that make the absence of findings meaningless, however many
	// analyzers ran: see observe.Gap.Doubt.
	Doubts []observe.Gap
	// Unseen is the number of processes that a source could not observe although it
	// works: see observe.Gap.Process. Those of a target are Doubts instead.
	Unseen int
}

const (
	// halfBlind is the share of analyzers that could not run above which the first
	// line of a report says so. The same share of the analyzers that an agent supports
	// makes it not ready. Below it the report names the missing sources and is valid
	// otherwise.
	halfBlind = 1.0 / 3
	// blind is the share from which the absence of findings is meaningless.
	blind = 2.0 / 3
)

// HalfBlind reports whether much was not observed: many analyzers could not run, or
// they evaluated only a part of the host.
func (s Sight) HalfBlind() bool {
	inPart := func(g observe.Gap) bool { return g.Source == observe.GapView }
	return s.unasked() > halfBlind || slices.ContainsFunc(s.Doubts, inPart)
}

// unasked returns the share of analyzers that could not run.
func (s Sight) unasked() float64 {
	if s.Questions == 0 {
		return 0
	}
	return float64(s.Questions-s.Asked) / float64(s.Questions)
}

// Verdict returns the verdict for the highest severity among the root causes.
func (s Sight) Verdict(worst Severity) Verdict {
	if worst < Warning && (len(s.Doubts) > 0 || s.unasked() >= blind) {
		return Unknown
	}
	return Verdict(worst.String())
}

// Verdict returns the verdict for all findings.
func (r *Result) Verdict() Verdict { return r.Sight.Verdict(r.Worst()) }

// Worst returns the highest severity among the root causes. A symptom does not
// count: it ends with its cause, and the verdict must be that of a finding that is
// shown.
func (r *Result) Worst() Severity {
	worst := Healthy
	for _, f := range r.Findings {
		if f.SymptomOf == nil {
			worst = max(worst, f.Severity)
		}
	}
	return worst
}

// Enough reports whether, after the loss of some of the analyzers that an agent
// supports, enough remain to rely on the result.
func Enough(lost, askable int) bool { return float64(lost) <= halfBlind*float64(askable) }

// Doubt adds a gap that makes the absence of findings meaningless, for example that
// the process of the diagnosis ended.
func (r *Result) Doubt(g observe.Gap) {
	r.Gaps = append(r.Gaps, g)
	r.Sight.Doubts = append(r.Sight.Doubts, g)
}

// doubtTarget turns the gaps about processes of the target into doubts, and the analyzers
// that evaluated only other processes into ones that could not run: what they found
// elsewhere says nothing about the target.
func (r *Result) doubtTarget(analyzers []*Analyzer, opts Options) {
	if opts.Keep == nil {
		return
	}
	for i, g := range r.Gaps {
		process, ok := r.Window.Index.Find(observe.Entity{Kind: observe.Process, ID: g.Process})
		if g.Process == "" || !ok || !opts.Keep(process) || !decides(analyzers, g.Source, opts) {
			continue
		}
		for _, a := range analyzers {
			r.unanswer(a, g.Source, opts)
		}
		r.Gaps[i].Source = observe.GapTarget
	}
}

// decides reports whether the absence of findings depends on a source. Some sources only add
// to findings, such as functions, and a cache that could be larger is not a fault.
func decides(analyzers []*Analyzer, source string, opts Options) bool {
	return slices.ContainsFunc(analyzers, func(a *Analyzer) bool {
		return a.Category != CategoryCaching && slices.ContainsFunc(a.Needs, func(m *observe.Metric) bool {
			return opts.Sources[m.Key()] == source
		})
	})
}

// unanswer marks an analyzer as one that could not run if it needs metrics of a source
// and no kept entity has them.
func (r *Result) unanswer(a *Analyzer, source string, opts Options) {
	var missing []string
	for _, m := range a.Needs {
		if opts.Sources[m.Key()] != source {
			continue
		}
		for e := range r.Window.Entities(m) {
			if opts.Keep(e) {
				return
			}
		}
		missing = append(missing, m.Key())
	}
	if len(missing) == 0 || a.OneOf && len(missing) < len(a.Needs) {
		return
	}
	r.Checked = slices.DeleteFunc(r.Checked, func(c Checked) bool { return c.Analyzer == a })
	r.Skipped = slices.DeleteFunc(r.Skipped, func(s Skip) bool { return s.Analyzer == a })
	r.Skipped = append(r.Skipped, Skip{Analyzer: a, Reason: "the metrics that it needs were not observed for the target", Missing: missing})
}

// see sets which of the analyzers could run.
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

// unseen returns the number of processes that gaps name, of sources that decide.
func (r *Result) unseen(analyzers []*Analyzer, opts Options) int {
	processes := make(map[string]bool)
	for _, g := range r.Gaps {
		if g.Process != "" && decides(analyzers, g.Source, opts) {
			processes[g.Process] = true
		}
	}
	return len(processes)
}

// asked reports whether an analyzer could run: for some subject, or on a host whose
// sources work but that has none. An analyzer that failed is in neither list.
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

// unsure returns the skip of an analyzer that had no subject, if one of its sources
// saw only a part of the host: subjects may be in the rest.
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

// hasGap reports whether a source could not observe something other than a single
// process.
func hasGap(gaps []observe.Gap, source string) bool {
	return slices.ContainsFunc(gaps, func(g observe.Gap) bool { return source != "" && g.Source == source && g.Process == "" })
}

// noSubject reports whether the sources of all missing metrics work, so that there
// was nothing to read.
func noSubject(missing []string, sources map[string]string, gaps []observe.Gap) bool {
	for _, m := range missing {
		source, known := sources[m]
		if !known || hasGap(gaps, source) {
			return false
		}
	}
	return len(missing) > 0
}
