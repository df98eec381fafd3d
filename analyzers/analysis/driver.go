// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// A Result is the input of a report.
type Result struct {
	Host     observe.Host
	Window   *observe.Window
	Findings []*Finding
	Checked  []Checked
	Skipped  []Skip
	Gaps     []observe.Gap
	Sight    Sight
	// Kept reports whether a subject is in the scope of the report; nil for all.
	Kept func(observe.ID) bool
}

// Checked is the number of subjects that an analyzer evaluated.
type Checked struct {
	Analyzer *Analyzer
	Subjects int
}

// Options tune a run.
type Options struct {
	// Params override defaults.
	Params map[*Param]float64
	// Keep, if set, reports whether to report a subject. Analyzers still see all
	// subjects, so that blame and totals are correct.
	Keep func(observe.ID) bool
	// History has the readings before the window; nil for none.
	History History
	// Sources maps the key of each metric to the gap source that provides it. Without
	// it no missing metric counts as one without a subject.
	Sources map[string]string
}

// Run runs the analyzers over a window, assigns symptoms to their causes, merges
// findings about the same problem, and orders the findings: the worst root cause
// first.
func Run(analyzers []*Analyzer, w *observe.Window, host observe.Host, opts Options) *Result {
	r := &Result{Host: host, Window: w, Gaps: slices.Clone(w.Gaps), Kept: opts.Keep}
	for _, a := range analyzers {
		r.runOne(a, opts)
	}
	fold(r.Findings, w.Index)
	r.keep(opts.Keep)
	r.doubtTarget(analyzers, opts)
	r.see(analyzers)
	if opts.Keep == nil {
		r.Sight.Unseen = r.unseen(analyzers, opts)
	}
	r.collectGaps()
	r.group()
	order(r.Findings)
	return r
}

func (r *Result) runOne(a *Analyzer, opts Options) {
	if missing := absent(a.Needs, r.Window); len(missing) > 0 && (!a.OneOf || len(missing) == len(a.Needs)) {
		r.skip(opts, Skip{Analyzer: a, Reason: "the metrics that it needs were not observed", Missing: missing})
		return
	}
	defer r.survive(a)
	p := &Pass{Window: r.Window, Host: r.Host, analyzer: a, history: opts.History, params: opts.Params}
	for _, f := range a.Run(p) {
		f.Analyzer, f.Names = a, p.names
		f.Confidence = confidence(f.Confidence, a, r.Window)
		f.Impact = min(1, max(0, f.Impact))
		r.Findings = append(r.Findings, &f)
		if err := f.undeclared(); err != nil {
			r.failed(a, "published what it does not declare", err)
		}
	}
	if p.checked == 0 && len(p.skips) == 0 {
		p.skips = unsure(a, opts.Sources, r.Window.Gaps)
	}
	r.skip(opts, p.skips...)
	r.Checked = append(r.Checked, Checked{Analyzer: a, Subjects: p.checked})
}

// skip adds analyzers that could not run.
func (r *Result) skip(opts Options, skips ...Skip) {
	for _, s := range skips {
		s.NoSubject = noSubject(s.Missing, opts.Sources, r.Window.Gaps)
		r.Skipped = append(r.Skipped, s)
	}
}

// GapAnalyzer is the source of gaps about analyzers that failed.
const GapAnalyzer = "analyzer"

// survive turns an analyzer's panic into a gap: a bug in one analyzer must not end
// the agent.
func (r *Result) survive(a *Analyzer) {
	if failure := recover(); failure != nil {
		r.failed(a, "failed, so its findings are missing", failure)
	}
}

// failed turns an analyzer's bug into a gap. Tests of analyzers fail on it.
func (r *Result) failed(a *Analyzer, what string, why any) {
	r.Gaps = append(r.Gaps, observe.Gap{
		Source: GapAnalyzer,
		Reason: fmt.Sprintf("%s %s: %v", a.Name, what, why),
		Cure:   "report it, with a recording (headroom record)",
	})
}

func absent(needs []*observe.Metric, w *observe.Window) []string {
	var missing []string
	for _, m := range needs {
		if !w.Has(m) {
			missing = append(missing, m.Key())
		}
	}
	return missing
}

// shortWindowFactor is the factor of confidence for a very short window. With the
// fraction f of MinSeconds the factor is 0.85 at f → 0 and 1 at f = 1. It is never
// 0: a tick of two seconds is a fact in any window.
const shortWindowFactor = 0.85

func confidence(c float64, a *Analyzer, w *observe.Window) float64 {
	if a.MinSeconds > 0 && w.Seconds < a.MinSeconds {
		c *= shortWindowFactor + (1-shortWindowFactor)*w.Seconds/a.MinSeconds
	}
	return min(1, max(0, c))
}

// ExplainShare is the minimum share of a symptom's lost time that its cause must
// account for (docs/science.md, Combining findings: below it is contributing, not
// root).
const ExplainShare = 0.6

// Unexplained is a Without for a finding of which only the lost time is known: it reports
// whether none of these causes alone accounts for most of it.
func (f *Finding) Unexplained(causes []string) bool {
	for _, c := range causes {
		if f.Lost[c] >= ExplainShare*f.LostTotal {
			return false
		}
	}
	return true
}

// fold sets SymptomOf of each symptom: an active finding of an analyzer in
// SymptomOf, related to the subject, without whose losses the symptom would not
// have been reported.
func fold(findings []*Finding, x *observe.Index) {
	for _, s := range findings {
		if s.Without == nil {
			continue
		}
		candidates := explanations(s, findings, x)
		var causes []string
		var best *Finding
		attributed := 0.0
		for _, c := range candidates {
			name := s.lostTo(c)
			if !slices.Contains(causes, name) {
				causes = append(causes, name)
				attributed += s.Lost[name]
			}
			if best == nil || s.Lost[name] > s.Lost[s.lostTo(best)] {
				best = c
			}
		}
		if best != nil && s.LostTotal > 0 && attributed >= ExplainShare*s.LostTotal && !s.Without(causes) {
			s.SymptomOf = best
		}
	}
	for _, s := range findings {
		s.SymptomOf = root(s)
	}
	// The verdict is the worst cause: harm that somebody feels must not hide below a note.
	for _, s := range findings {
		if s.SymptomOf != nil && s.SymptomOf.Severity == Info && s.Severity > Info {
			s.SymptomOf = nil
		}
	}
}

// root follows SymptomOf to the root cause of a symptom. Findings can explain one
// another, so it stops after maxChain steps.
func root(s *Finding) *Finding {
	at := s.SymptomOf
	for range maxChain {
		if at == nil || at.SymptomOf == nil || at.SymptomOf == s {
			return at
		}
		at = at.SymptomOf
	}
	return at
}

const maxChain = 8

func explanations(s *Finding, findings []*Finding, x *observe.Index) []*Finding {
	var found []*Finding
	for _, c := range findings {
		if c != s && s.Lost[s.lostTo(c)] > 0 && slices.Contains(s.Analyzer.SymptomOf, c.Analyzer.Name) && (s.Filled || related(s.Subject, c.Subject, x)) {
			found = append(found, c)
		}
	}
	return found
}

// lostTo returns the key in s.Lost for c: with c's cause if s distinguishes causes
// of c's analyzer, otherwise the analyzer's name.
func (s *Finding) lostTo(c *Finding) string {
	name := c.Analyzer.Name
	for key := range s.Lost {
		if strings.HasPrefix(key, name+"/") {
			return name + "/" + c.Cause
		}
	}
	return name
}

// related reports whether a cause at one subject can affect another: it is the host
// or a disk of it, contains it, or is part of the same process or process family.
// Which disk a process uses is not known.
func related(symptom, cause observe.ID, x *observe.Index) bool {
	if kind := x.Entity(cause).Kind; kind == observe.Node || kind == observe.Disk || x.Within(symptom, cause) {
		return true
	}
	a, okA := x.Ancestor(symptom, observe.Process)
	b, okB := x.Ancestor(cause, observe.Process)
	if !okA || !okB {
		return false
	}
	owner := x.Attr(a, catalog.AttrOwner)
	return a == b || owner != "" && owner == x.Attr(b, catalog.AttrOwner)
}

func (r *Result) keep(keep func(observe.ID) bool) {
	if keep == nil {
		return
	}
	wanted := make(map[*Finding]bool)
	for _, f := range r.Findings {
		if keep(f.Subject) || slices.ContainsFunc(f.Subjects, keep) {
			wanted[f] = true
			if f.SymptomOf != nil {
				wanted[f.SymptomOf] = true
			}
		}
	}
	r.Findings = slices.DeleteFunc(r.Findings, func(f *Finding) bool { return !wanted[f] })
}

func (r *Result) collectGaps() {
	if n := r.Window.Index.Refused(); n > 0 {
		r.Gaps = append(r.Gaps, observe.Gap{
			Source: "index",
			Reason: fmt.Sprintf("%d entities were not tracked: the limit is %d at a time", n, r.Window.Index.Limit()),
			Cure:   "observe for a shorter time",
		})
	}
	for _, f := range r.Findings {
		if f.Gap != nil && !slices.Contains(r.Gaps, *f.Gap) {
			r.Gaps = append(r.Gaps, *f.Gap)
		}
	}
	slices.SortStableFunc(r.Gaps, func(a, b observe.Gap) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Reason, b.Reason))
	})
}
