// SPDX-License-Identifier: Apache-2.0

package render

import (
	"cmp"
	"fmt"
	"math"
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/report"
)

// title returns the verdict, and whether much was not observed: healthy, but half
// blind.
func (r *Document) title() string {
	switch {
	case !r.Asked.HalfBlind:
		return r.Verdict
	case r.problems(), r.Verdict == string(analysis.Unknown):
		return r.Verdict + ", and half blind"
	}
	return r.Verdict + ", but half blind"
}

func (r *Document) problems() bool {
	problems, _ := r.split()
	return len(problems) > 0
}

// headline returns the verdict as a sentence: 1 problem on web-7 (30 s observed).
// If the title says that much was not observed, the number comes first.
func (r *Document) headline() string {
	problems, notes := r.split()
	said := "no problem found"
	if len(problems) > 0 {
		said = count(len(problems), "problem")
	}
	if len(notes) > 0 {
		said += ", " + count(len(notes), "note")
	}
	if r.Verdict == string(analysis.Unknown) {
		said += " in what could be seen"
	}
	said = fmt.Sprintf("%s %s (%s observed)", said, r.on(), r.observed())
	if r.Asked.Unseen > 0 {
		said += fmt.Sprintf(", %s not observed", count(r.Asked.Unseen, "server"))
	}
	unasked := r.Asked.Of - r.Asked.Asked
	switch {
	case r.Asked.HalfBlind || r.Verdict == string(analysis.Unknown):
		return fmt.Sprintf("%d of %s asked, %s", r.Asked.Asked, count(r.Asked.Of, "question"), said)
	case len(problems) == 0 && unasked > 0:
		return said + ", " + count(unasked, "question") + " unanswered"
	}
	return said
}

// observed returns the length of the window, rounded to a tenth of a second.
func (r *Document) observed() string {
	return humanSeconds(math.Round(float64(r.Window.Seconds)*10) / 10)
}

// on names the target of the diagnosis.
func (r *Document) on() string {
	host := cmp.Or(r.Host.Name, "this host")
	if r.Scope == "" {
		return "on " + host
	}
	return "with " + r.Scope + " on " + host
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// roots returns the findings that no other finding explains, in their order.
func (r *Document) roots() []*report.Finding { return report.Roots(r.Findings) }

func why(f *report.Finding) string {
	return fmt.Sprintf("%s (%s), impact %s, confidence %s", f.Cause, f.ID, percent(float64(f.Impact)), percent(float64(f.Confidence)))
}

// place returns the location of the subject, without what the summary already has.
func place(f *report.Finding) string {
	if strings.Contains(f.Summary, f.Subject.String()) {
		return within(f.Subject)
	}
	return where(f.Subject)
}

// symptomList returns the symptoms of f in one line.
func (r *Document) symptomList(f *report.Finding) string {
	var all []string
	for _, s := range r.symptoms(f) {
		all = append(all, fmt.Sprintf("%s of %s", s.ID, s.Subject))
	}
	return upTo(maxSymptoms, all)
}

// maxSymptoms is the maximum number of symptoms of one cause named in text.
const maxSymptoms = 2

func upTo(most int, all []string) string {
	if len(all) <= most {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:most], ", "), len(all)-most)
}

func evidenceLine(es []report.Evidence, most int) string {
	var all []string
	for _, e := range es[:min(most, len(es))] {
		all = append(all, evidenceText(e))
	}
	return strings.Join(all, "; ")
}

// evidenceText formats evidence: loop.lag p99 412 ms (bound 50 ms).
func evidenceText(e report.Evidence) string {
	s := named(e.Metric, e.Label) + " " + Human(float64(e.Value), e.Unit)
	var also []string
	if span(e) != "" {
		also = append(also, span(e))
	}
	if e.Bound != nil {
		also = append(also, "bound "+Human(float64(*e.Bound), e.Unit))
	}
	if len(also) > 0 {
		s += " (" + strings.Join(also, "; ") + ")"
	}
	return s
}

// span formats the range over several subjects: 120 ms to 412 ms.
func span(e report.Evidence) string {
	if e.Least == nil || e.Most == nil {
		return ""
	}
	return Human(float64(*e.Least), e.Unit) + " to " + Human(float64(*e.Most), e.Unit)
}

// named removes the prefix that all our metrics share, and the attribute: the label
// is often about several.
func named(metric, label string) string {
	name, _, _ := strings.Cut(metric, "{")
	return strings.TrimSpace(strings.TrimPrefix(name, "headroom.") + " " + label)
}

// when formats the forecast, with its interval if it is known: memory limit in 1 h
// 30 min (1 h 8 min to 2 h 12 min).
func when(f *report.Finding) string {
	if f.Forecast == nil {
		return ""
	}
	s := f.Forecast.What + " in " + humanSeconds(float64(f.Forecast.AtSeconds))
	if low, high := f.Forecast.LowSeconds, f.Forecast.HighSeconds; low != nil && high != nil {
		s += fmt.Sprintf(" (%s to %s)", humanSeconds(float64(*low)), humanSeconds(float64(*high)))
	}
	return s
}

// stallText formats a stall so that it can be found in a log: 2026-11-23T03:00:12Z
// for 412 ms.
func stallText(e report.Exemplar) string {
	s := e.Start + " for " + humanSeconds(float64(e.Seconds))
	if e.InProgress {
		s += " so far"
	}
	if e.Syscall != "" {
		s += ", in " + e.Syscall
	}
	return s
}

func blameLine(bs []report.Blame) string {
	var all []string
	for _, b := range bs {
		all = append(all, b.Subject.String()+" "+percent(float64(b.Share)))
	}
	return upTo(maxBlame, all)
}

func culpritLine(cs []report.Culprit) string {
	var all []string
	for _, c := range cs {
		all = append(all, percent(float64(c.Share))+" "+codeText(c))
	}
	return strings.Join(all, "; ")
}

// codeText formats code: login (/app/auth.js:42), in hashSync of bcryptjs.
func codeText(c report.Culprit) string {
	if len(c.Frames) == 0 {
		return ""
	}
	f := c.Frames[0]
	text := f.File
	if f.Line > 0 {
		text = fmt.Sprintf("%s:%d", f.File, f.Line)
	}
	if f.Function != "" {
		text = fmt.Sprintf("%s (%s)", f.Function, text)
	}
	if c.Uses != "" {
		text += ", in " + c.Uses
	}
	return text
}

// fix returns the action, with the interval of its quantity if it is known.
func fix(rec report.Recommendation) string {
	if rec.Low == nil || rec.High == nil || *rec.Low == *rec.High {
		return rec.Action
	}
	low, high := Human(float64(*rec.Low), ""), Human(float64(*rec.High), "{"+rec.Unit+"}")
	if observe.Unit(rec.Unit) == observe.Ratio {
		low, high = percent(float64(*rec.Low)), percent(float64(*rec.High))
	}
	return fmt.Sprintf("%s (%s to %s)", strings.TrimSuffix(rec.Action, "."), low, high)
}

// verify returns what to check afterwards.
func verify(rec report.Recommendation) string {
	if rec.Verify != "" {
		return rec.Verify
	}
	var all []string
	for _, e := range rec.Expect {
		all = append(all, expectationText(e))
	}
	return strings.Join(all, "; ")
}

// expectationText formats the expected change of a metric.
func expectationText(e report.Expectation) string {
	text := fmt.Sprintf("%s goes from %s to %s", named(e.Metric, e.Label), Human(float64(e.From), e.Unit), Human(float64(e.To), e.Unit))
	if e.Low != nil && e.High != nil {
		text += fmt.Sprintf(" (%s to %s)", Human(float64(*e.Low), e.Unit), Human(float64(*e.High), e.Unit))
	}
	return text
}

// split returns the root causes that are problems, and those that are notes.
func (r *Document) split() (problems, notes []*report.Finding) {
	for _, f := range r.roots() {
		if serious(f) {
			problems = append(problems, f)
		} else {
			notes = append(notes, f)
		}
	}
	return problems, notes
}

// alsoNoticed is the heading above the notes.
const alsoNoticed = "Also noticed"

// serious reports whether a finding is more than advice.
func serious(f *report.Finding) bool { return analysis.Severity(f.Severity) > analysis.Info }

// within names the container, pod or service around the subject, or "".
func within(s report.Subject) string {
	var in []string
	if s.Container != "" && s.Kind != "container" {
		in = append(in, "container "+catalog.ShortContainerName(s.Container))
	}
	if s.Pod != "" {
		in = append(in, "pod "+strings.TrimPrefix(s.Namespace+"/"+s.Pod, "/"))
	}
	if s.Workload != "" && s.Workload != "pod/"+s.Pod {
		in = append(in, s.Workload)
	}
	if len(in) == 0 && s.Service != "" && s.Kind != "cgroup" {
		in = append(in, "service "+s.Service)
	}
	return strings.Join(in, ", ")
}

// where names the subject and what is around it.
func where(s report.Subject) string {
	if in := within(s); in != "" {
		return s.String() + " in " + in
	}
	return s.String()
}
