// SPDX-License-Identifier: Apache-2.0

package render

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/headroom-project/headroom/agent/printable"
	"github.com/headroom-project/headroom/analyzers/report"
)

// Markdown writes the whole report for a ticket or a chat.
func (r *Document) Markdown(w io.Writer) error {
	out := bufio.NewWriter(w)
	m := &marker{w: out, doc: r}
	m.printf("## %s: %s\n", r.title(), escape(r.headline()))
	m.printf("\n%s, Linux %s, %s to %s\n", escape(cmp.Or(r.Host.Name, "host")), escape(cmp.Or(r.Host.Kernel, "unknown")), r.Window.Start, r.Window.End)
	for i, g := range r.groupDoubts() {
		if i == 0 {
			m.printf("\n")
		}
		m.item("why", g.Reason)
		m.item("fix", g.Cure)
	}
	problems, notes := r.split()
	for i, f := range problems {
		m.finding("###", i+1, f)
	}
	if len(notes) > 0 {
		m.printf("\n### %s\n", alsoNoticed)
	}
	for i, f := range notes {
		m.finding("####", len(problems)+i+1, f)
	}
	m.tail(r)
	return out.Flush()
}

// marker writes Markdown. It keeps errors of the writer until Flush.
type marker struct {
	w   *bufio.Writer
	doc *Document
}

func (m *marker) printf(format string, args ...any) { _, _ = fmt.Fprintf(m.w, format, args...) }

func (m *marker) item(label, text string) {
	if text != "" {
		m.printf("- **%s:** %s\n", label, escape(text))
	}
}

func (m *marker) finding(heading string, n int, f *report.Finding) {
	m.printf("\n%s %d. %s (%s)\n\n", heading, n, escape(f.Summary), f.Severity)
	m.item("why", why(f))
	m.item("where", where(f.Subject))
	if pids := f.Subject.PIDs; len(pids) > 0 {
		m.item("pids", strings.Trim(fmt.Sprint(pids), "[]"))
	}
	for _, e := range f.Evidence {
		m.item("evidence", evidenceText(e))
	}
	m.item("when", when(f))
	for _, b := range f.Blame {
		m.item("by", where(b.Subject)+" "+percent(float64(b.Share)))
	}
	for _, c := range f.Culprits {
		m.item("code", codeText(c)+" "+percent(float64(c.Share)))
	}
	for _, e := range f.Exemplars {
		m.item("stall", stallText(e))
	}
	for _, s := range m.doc.symptoms(f) {
		m.item("symptom", fmt.Sprintf("%s (%s, %s)", s.Summary, s.ID, s.Cause))
	}
	for _, rec := range f.Recommendations {
		m.recommendation(rec)
	}
}

func (m *marker) recommendation(rec report.Recommendation) {
	m.printf("\n**%s**\n\n", escape(fix(rec)))
	m.item("verify", rec.Verify)
	for _, e := range rec.Expect {
		m.item("expect", expectationText(e))
	}
	m.item("risk", rec.Risk)
	m.item("not if", rec.NotIf)
}

func (m *marker) tail(r *Document) {
	for i := range r.busiest() {
		if i == 0 {
			m.printf("\n### Requests\n\n")
		}
		m.item(r.Requests[i].Subject.String(), load(&r.Requests[i]))
	}
	m.printf("\n### Checked\n\n")
	m.item("fine"+r.forScope(), strings.Join(r.fine(), ", "))
	m.item("nothing to check", strings.Join(r.withoutSubject(), ", "))
	for _, u := range r.unanswered() {
		m.item("could not be checked", u.String())
	}
	for _, text := range gapTexts(r.otherGaps()) {
		m.item("blind spot", text)
	}
}

// escaper escapes Markdown and HTML in names.
var escaper = strings.NewReplacer(`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "<", "&lt;", "|", `\|`, "#", `\#`)

func escape(s string) string { return escaper.Replace(printable.Text(s)) }
