// SPDX-License-Identifier: Apache-2.0

package render

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/printable"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/report"
)

// tail writes what was fine, and what is not known: the absence of a finding alone
// does not mean healthy.
func (t *texter) tail(r *Document) {
	t.line("")
	for i := range r.busiest() {
		q := &r.Requests[i]
		t.paragraph("requests to "+q.Subject.String()+": ", load(q))
	}
	t.paragraph("checked and fine"+r.forScope()+": ", strings.Join(r.fine(), ", "))
	t.paragraph("nothing to check: ", strings.Join(r.withoutSubject(), ", "))
	for _, u := range r.unanswered() {
		t.paragraph("could not be checked: ", u.String())
	}
	for _, text := range gapTexts(r.otherGaps()) {
		t.paragraph("blind spots: ", text)
	}
	t.paragraph("more: ", r.more())
}

// busiest returns the services whose requests are shown; JSON has more.
func (r *Document) busiest() []report.Requests {
	const most = 5
	return r.Requests[:min(most, len(r.Requests))]
}

// load describes the requests of a service: 240/s, p99 5 s.
func load(q *report.Requests) string {
	text := requestRate(float64(q.Rate))
	if q.P99 != nil {
		text += ", p99 " + analysis.Seconds(float64(*q.P99))
	}
	if q.Active > 0 && float64(q.Oldest) >= waitsLong {
		text += fmt.Sprintf(", %d without an answer for up to %s", q.Active, analysis.Seconds(float64(q.Oldest)))
	}
	return text
}

// waitsLong is the age in seconds from which the text mentions a request without an answer.
const waitsLong = 1

// requestRate formats a rate: 240/s, 0.3/s.
func requestRate(rate float64) string {
	if rate < 10 {
		return strconv.FormatFloat(math.Round(rate*10)/10, 'f', -1, 64) + "/s"
	}
	return fmt.Sprintf("%.0f/s", rate)
}

func (t *texter) paragraph(prefix, text string) {
	if text == "" {
		return
	}
	head := strings.TrimSpace(prefix)
	for i, line := range wrap(prefix+printable.Text(text), t.width-len(tailIndent)) {
		if i == 0 {
			t.line(t.paint("quiet", head) + strings.TrimPrefix(line, head))
		} else {
			t.line(tailIndent + line)
		}
	}
}

const tailIndent = "  "

// fine lists the analyzers without a finding, with the number of subjects. The
// number is for the whole host, so with a scope it is left out.
func (r *Document) fine() []string {
	var fine []string
	for _, c := range r.Checked {
		switch {
		case c.Subjects == 0 || r.found(c.ID):
		case r.Scope != "":
			fine = append(fine, c.ID)
		default:
			fine = append(fine, fmt.Sprintf("%s (%d)", c.ID, c.Subjects))
		}
	}
	return fine
}

func (r *Document) forScope() string {
	if r.Scope == "" {
		return ""
	}
	return " for " + r.Scope
}

func (r *Document) found(id string) bool {
	return slices.ContainsFunc(r.Findings, func(f *report.Finding) bool { return f.ID == id })
}

// withoutSubject returns the analyzers that had no subject on this host although their sources
// could be read: no event loop ran, no quota was set.
func (r *Document) withoutSubject() []string {
	var ids []string
	for _, c := range r.Checked {
		if c.Subjects == 0 && !r.found(c.ID) && !r.skipped(c.ID) {
			ids = append(ids, c.ID)
		}
	}
	for _, s := range r.Skipped {
		if s.NoSubject && !slices.Contains(ids, s.ID) && !r.looked(s.ID) {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

// looked reports whether an analyzer evaluated some subject, even if it was skipped
// for others.
func (r *Document) looked(id string) bool {
	return slices.ContainsFunc(r.Checked, func(c report.Checked) bool { return c.ID == id && c.Subjects > 0 })
}

func (r *Document) skipped(id string) bool {
	return slices.ContainsFunc(r.Skipped, func(s report.Skip) bool { return s.ID == id })
}

// gapsOf returns the gaps of a source, without those about a single process.
func (r *Document) gapsOf(source string) []observe.Gap {
	var gaps []observe.Gap
	for _, g := range r.Gaps {
		if g.Source == source && g.Process == "" {
			gaps = append(gaps, g)
		}
	}
	return gaps
}

// An unanswered is a set of analyzers that could not run for the same reason.
type unanswered struct {
	ids    []string
	reason string
	gaps   []observe.Gap
}

func (u unanswered) String() string {
	return strings.Join(u.ids, ", ") + ": " + u.reason
}

// unanswered groups the skips by their cause, so that one missing privilege is one
// line and not seven.
func (r *Document) unanswered() []*unanswered {
	var all []*unanswered
	for _, s := range r.Skipped {
		if s.NoSubject {
			continue
		}
		reason, gaps := r.reason(s)
		i := slices.IndexFunc(all, func(u *unanswered) bool { return u.reason == reason })
		if i < 0 {
			all = append(all, &unanswered{reason: reason, gaps: gaps})
			i = len(all) - 1
		}
		if !slices.Contains(all[i].ids, s.ID) {
			all[i].ids = append(all[i].ids, s.ID)
		}
	}
	return all
}

// doubts returns the gaps that make the absence of findings meaningless. They are
// shown below the verdict.
func (r *Document) doubts() []observe.Gap {
	return slices.DeleteFunc(slices.Clone(r.Gaps), func(g observe.Gap) bool { return !g.Doubt() })
}

// groupDoubts returns each reason once.
func (r *Document) groupDoubts() []gapGroup { return groupGaps(r.doubts()) }

// reason returns the gap behind a skip, with its cure; otherwise the text of the
// skip.
func (r *Document) reason(s report.Skip) (string, []observe.Gap) {
	var gaps []observe.Gap
	for _, m := range s.Missing {
		for _, g := range r.gapsOf(r.Sources[m]) {
			if !slices.Contains(gaps, g) {
				gaps = append(gaps, g)
			}
		}
	}
	if len(gaps) > 0 {
		return strings.Join(gapTexts(gaps), "; "), gaps
	}
	if len(s.Missing) == 0 {
		return s.Reason, nil
	}
	return s.Reason + " (" + upTo(maxMissing, s.Missing) + ")", nil
}

// maxMissing is the maximum number of metrics in a line of text; JSON has all.
const maxMissing = 2

// otherGaps returns the gaps that are not shown at the top of the report or with an
// analyzer that could not run, even for another source.
func (r *Document) otherGaps() []observe.Gap {
	shown := make(map[observe.Gap]bool)
	for _, g := range r.doubts() {
		shown[sameFor(g)] = true
	}
	for _, u := range r.unanswered() {
		for _, g := range u.gaps {
			shown[sameFor(g)] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(r.Gaps), func(g observe.Gap) bool { return shown[sameFor(g)] })
}

// sameFor returns a gap without its source and process, to group equal gaps.
func sameFor(g observe.Gap) observe.Gap { return observe.Gap{Reason: g.Reason, Cure: g.Cure} }

// A gapGroup is a reason with all sources that it affects.
type gapGroup struct {
	Sources      []string
	Reason, Cure string
}

// groupGaps returns each reason once.
func groupGaps(gaps []observe.Gap) []gapGroup {
	var groups []gapGroup
	for _, g := range gaps {
		i := slices.IndexFunc(groups, func(o gapGroup) bool { return o.Reason == g.Reason && o.Cure == g.Cure })
		if i < 0 {
			i = len(groups)
			groups = append(groups, gapGroup{Reason: g.Reason, Cure: g.Cure})
		}
		groups[i].Sources = append(groups[i].Sources, g.Source)
	}
	return groups
}

func gapTexts(gaps []observe.Gap) []string {
	var texts []string
	for _, g := range groupGaps(gaps) {
		text := g.Reason + " (" + strings.Join(g.Sources, ", ") + ")"
		if g.Cure != "" {
			text += "; fix: " + g.Cure
		}
		texts = append(texts, text)
	}
	return texts
}

// more names the command that explains the findings.
func (r *Document) more() string {
	if len(r.Findings) == 0 {
		return ""
	}
	return "headroom explain " + r.Findings[0].ID
}
