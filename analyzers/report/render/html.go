// SPDX-License-Identifier: Apache-2.0

package render

import (
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/printable"
	"github.com/headroom-project/headroom/analyzers/report"
)

// Parts of the page. Names appear only in the template, which escapes them for
// their context; style and script contain none.
var (
	//go:embed page/report.html
	pageTemplate string
	//go:embed page/report.css
	pageStyle string
	//go:embed page/report.js
	pageScript string
)

// HTML writes the report as one page that needs no network and no scripts to be
// read. Only HTML has charts.
func (r *Document) HTML(w io.Writer) error {
	// Parsed here, because an agent never needs it.
	t, err := template.New("report").Funcs(template.FuncMap{"say": printable.Text}).Parse(pageTemplate)
	if err != nil {
		return fmt.Errorf("parsing the page's template: %w", err)
	}
	return t.Execute(w, r.page())
}

// A page is the input of the template.
type page struct {
	Policy   string
	Style    template.CSS
	Script   template.JS
	Verdict  string
	Title    string
	Headline string
	Doubts   []gapGroup
	Facts    []string
	Version  string
	Problems []pageFinding
	Notes    []pageFinding // separate, below AlsoNoticed
	Charts   []*plot
	Requests []pageRequests

	FineFor    string
	Fine       []string
	NoSubject  []string
	Unanswered []pageUnanswered
	Gaps       []gapGroup
}

type pageFinding struct {
	*report.Finding
	Number           int
	Open             bool
	Why, Where, When string
	Seen             []pageEvidence
	By, Code         []pageShare
	Fixes            []pageFix
	Symptoms         []pageFinding
	More             int // number of symptoms that are not shown
	Stalls           []pageStall
	Charts           []*plot
}

type pageEvidence struct{ What, Metric, Value, Bound string }

type pageShare struct{ Who, Share string }

type pageFix struct {
	report.Recommendation
	Text, Check string
	Moves       []string
}

// A pageRequests is the requests of one service; P50, P99 and Oldest are empty if not known.
type pageRequests struct{ Where, Rate, P50, P99, Waiting, Oldest string }

func (r *Document) pageRequests() []pageRequests {
	var all []pageRequests
	for _, q := range r.busiest() {
		one := pageRequests{Where: where(q.Subject), Rate: requestRate(float64(q.Rate)), Waiting: strconv.Itoa(q.Active)}
		if q.P50 != nil && q.P99 != nil {
			one.P50, one.P99 = humanSeconds(float64(*q.P50)), humanSeconds(float64(*q.P99))
		}
		if q.Active > 0 {
			one.Oldest = humanSeconds(float64(q.Oldest))
		}
		all = append(all, one)
	}
	return all
}

type pageUnanswered struct {
	IDs    []string
	Reason string
	Gaps   []gapGroup
}

// openFindings is the number of findings whose evidence is open without a click; of
// notes, only the first.
const openFindings = 2

// maxPageSymptoms is the maximum number of symptoms shown for one cause: each has
// its own charts.
const maxPageSymptoms = 10

func (r *Document) page() page {
	p := page{
		Policy: policy(), Style: template.CSS(pageStyle), Script: template.JS(pageScript), //nolint:gosec // our own files
		Verdict: r.Verdict, Title: r.title(), Headline: r.headline(), Doubts: r.groupDoubts(), Facts: r.facts(), Version: r.Tool.Version,
		FineFor: r.forScope(), Fine: r.fine(), NoSubject: r.withoutSubject(), Gaps: groupGaps(r.otherGaps()),
		Requests: r.pageRequests(),
	}
	for _, c := range hostCharts(r.Result.Window) {
		p.Charts = append(p.Charts, c.draw(r.Result.Window))
	}
	problems, notes := r.split()
	for i, f := range problems {
		p.Problems = append(p.Problems, r.pageFinding(i, f))
	}
	for i, f := range notes {
		p.Notes = append(p.Notes, r.pageFinding(len(problems)+i, f))
	}
	for _, u := range r.unanswered() {
		one := pageUnanswered{IDs: u.ids, Gaps: groupGaps(u.gaps)}
		if len(u.gaps) == 0 {
			one.Reason = u.reason
		}
		p.Unanswered = append(p.Unanswered, one)
	}
	return p
}

// AlsoNoticed is the heading above the notes.
func (page) AlsoNoticed() string { return alsoNoticed }

// policy allows the page's own script and style, and loads nothing.
func policy() string {
	return "default-src 'none'; style-src " + PolicyHash(pageStyle) + "; script-src " + PolicyHash(pageScript) + "; img-src data:; base-uri 'none'; form-action 'none'"
}

// PolicyHash returns the source expression that allows one inline text in a
// Content-Security-Policy.
func PolicyHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// facts returns the machine and the time, for the line below the verdict.
func (r *Document) facts() []string {
	facts := []string{cmp.Or(r.Host.Name, "this host")}
	if r.Host.Kernel != "" {
		facts = append(facts, "Linux "+r.Host.Kernel)
	}
	if r.Host.CPUs > 0 {
		facts = append(facts, count(r.Host.CPUs, "CPU"))
	}
	if r.Host.Memory > 0 {
		facts = append(facts, Human(float64(r.Host.Memory), string(observe.Bytes)))
	}
	return append(facts, r.Result.Window.Start.UTC().Format(time.DateTime)+" UTC, "+r.observed())
}

func (r *Document) pageFinding(i int, f *report.Finding) pageFinding {
	p := pageFinding{Finding: f, Number: i + 1, Open: i == 0 || i < openFindings && serious(f),
		Why: why(f), Where: where(f.Subject), When: when(f)}
	for _, e := range f.Evidence {
		one := pageEvidence{What: named(e.Metric, e.Label), Metric: e.Metric, Value: Human(float64(e.Value), e.Unit)}
		if over := span(e); over != "" {
			one.Value += " (" + over + ")"
		}
		if e.Bound != nil {
			one.Bound = Human(float64(*e.Bound), e.Unit)
		}
		p.Seen = append(p.Seen, one)
	}
	for _, b := range f.Blame {
		p.By = append(p.By, pageShare{where(b.Subject), percent(float64(b.Share))})
	}
	for _, c := range f.Culprits {
		p.Code = append(p.Code, pageShare{codeText(c), percent(float64(c.Share))})
	}
	for _, rec := range f.Recommendations {
		one := pageFix{Recommendation: rec, Text: fix(rec), Check: rec.Verify}
		for _, e := range rec.Expect {
			one.Moves = append(one.Moves, expectationText(e))
		}
		p.Fixes = append(p.Fixes, one)
	}
	symptoms := r.symptoms(f)
	for i, s := range symptoms[:min(maxPageSymptoms, len(symptoms))] {
		p.Symptoms = append(p.Symptoms, r.pageFinding(i+1, s))
	}
	p.More = len(symptoms) - len(p.Symptoms)
	p.Stalls = pageStalls(f.Exemplars)
	for _, c := range findingCharts(r.Result.Window, r.source(f)) {
		p.Charts = append(p.Charts, c.draw(r.Result.Window))
	}
	return p
}

// A pageStall is an exemplar with its parts as sections of a bar; the longest stall
// has the full length.
type pageStall struct {
	Start, Took, Syscall string
	InProgress           bool
	Parts                []pagePart
	Says                 string
}

type pagePart struct{ Class, X, Width string }

func pageStalls(es []report.Exemplar) []pageStall {
	longest := 0.0
	for _, e := range es {
		longest = max(longest, float64(e.Seconds))
	}
	var all []pageStall
	for _, e := range es {
		s := pageStall{Start: clockOf(e.Start), Took: humanSeconds(float64(e.Seconds)), Syscall: e.Syscall, InProgress: e.InProgress}
		var words []string
		x := 0.0
		for _, part := range each(e.Parts) {
			if part.seconds <= 0 || longest <= 0 {
				continue
			}
			width := 100 * part.seconds / longest
			s.Parts = append(s.Parts, pagePart{part.class, fmt.Sprintf("%.2f%%", x), fmt.Sprintf("%.2f%%", width)})
			words = append(words, part.name+" "+humanSeconds(part.seconds))
			x += width
		}
		s.Says = strings.Join(words, ", ")
		all = append(all, s)
	}
	return all
}

type part struct {
	class, name string
	seconds     float64
}

func each(p report.Parts) []part {
	return []part{
		{"on-cpu", "on a CPU", float64(p.CPU)},
		{"run-queue", "waiting for a CPU", float64(p.RunQueue)},
		{"throttled", "throttled", float64(p.Throttled)},
		{"blocked", "blocked", float64(p.Blocked)},
		{"page-fault", "waiting for a page", float64(p.PageFault)},
	}
}

// clockOf shortens a timestamp to the time of day.
func clockOf(stamp string) string {
	t, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil {
		return stamp // not a timestamp of ours
	}
	return t.UTC().Format("15:04:05.000")
}
