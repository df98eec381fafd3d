// SPDX-License-Identifier: Apache-2.0

package render

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/headroom-project/headroom/agent/printable"
	"github.com/headroom-project/headroom/analyzers/report"
)

// A Style describes the capabilities of a terminal.
type Style struct {
	// Width is in columns; 0 is DefaultWidth.
	Width int
	// Color allows escape sequences.
	Color bool
}

// DefaultWidth is the width if the output is not a terminal.
const DefaultWidth = 80

// maxWidth limits lines to a readable length.
const maxWidth = 110

// maxFull is how many root causes are shown in full; for the others only the summary and
// the fix are shown. Five fill two screens.
const maxFull = 5

// Text writes the report for a person: the verdict first, then root causes with
// their fixes, symptoms below their cause, notes, then what was checked and what
// could not be.
func (r *Document) Text(w io.Writer, style Style) error {
	out := bufio.NewWriter(w)
	t := &texter{w: out, doc: r, style: style, width: DefaultWidth}
	if style.Width > 0 {
		t.width = min(style.Width, maxWidth)
	}
	t.line(t.paint(r.Verdict, r.title()) + ": " + printable.Text(r.headline()))
	for _, g := range r.groupDoubts() {
		t.labelled("why", g.Reason)
		t.labelled("fix", g.Cure)
	}
	problems, notes := r.split()
	t.several = len(problems)+len(notes) > 1
	for i, f := range problems {
		t.finding(i+1, f)
	}
	if len(notes) > 0 {
		t.line("")
		t.line(t.paint("strong", alsoNoticed))
	}
	for i, f := range notes {
		t.finding(len(problems)+i+1, f)
	}
	t.tail(r)
	return out.Flush()
}

// texter writes lines of one width. It keeps errors of the writer until Flush.
type texter struct {
	w     *bufio.Writer
	doc   *Document // nil for a text that is not a report
	style Style
	width int
	// several is set if several findings share a screen; each is then shorter.
	several bool
}

// colours maps a purpose to its colour, as on the consoles of operating systems.
var colours = map[string]string{
	"critical": "\x1b[1;31m",
	"warning":  "\x1b[1;33m",
	"info":     "\x1b[1;36m",
	"healthy":  "\x1b[1;32m",
	"unknown":  "\x1b[1;35m",
	"strong":   "\x1b[1m",
	"quiet":    "\x1b[2m",
}

func (t *texter) paint(colour, text string) string {
	if !t.style.Color {
		return text
	}
	return colours[colour] + text + "\x1b[0m"
}

func (t *texter) line(text string) { _, _ = t.w.WriteString(text + "\n") }

// labelled writes text behind a label, wrapped; nothing if there is no text.
func (t *texter) labelled(label, text string) {
	if text == "" {
		return
	}
	prefix := fmt.Sprintf("   %-8s ", label)
	for i, line := range Indented(prefix, printable.Text(text), t.width) {
		if i == 0 {
			line = t.paint("quiet", prefix) + strings.TrimPrefix(line, prefix)
		}
		t.line(line)
	}
}

func (t *texter) finding(n int, f *report.Finding) {
	t.line("")
	number, mark := fmt.Sprintf("%d. ", n), "["+f.Severity.String()+"] "
	for i, line := range Indented(number, mark+printable.Text(f.Summary), t.width) {
		if i == 0 {
			line = number + t.paint(f.Severity.String(), strings.TrimSuffix(mark, " ")) + strings.TrimPrefix(line, number+strings.TrimSuffix(mark, " "))
		}
		t.line(line)
	}
	if n > maxFull || !serious(f) {
		t.fixes(f, 1)
		return
	}
	t.labelled("why", why(f))
	t.labelled("where", place(f))
	t.labelled("evidence", evidenceLine(f.Evidence, t.evidence()))
	t.labelled("when", when(f))
	t.labelled("by", blameLine(f.Blame))
	t.labelled("code", culpritLine(f.Culprits))
	t.fixes(f, maxFixes)
	t.labelled("symptoms", t.doc.symptomList(f))
}

// maxFixes and the other limits keep a finding within about ten lines; JSON and
// Markdown have everything.
const (
	maxFixes         = 2
	maxBlame         = 2
	maxEvidence      = 4
	maxEvidenceOfOne = 2 // of several findings
)

func (t *texter) evidence() int {
	if t.several {
		return maxEvidenceOfOne
	}
	return maxEvidence
}

func (t *texter) fixes(f *report.Finding, most int) {
	for i, rec := range f.Recommendations[:min(most, len(f.Recommendations))] {
		if i > 0 {
			t.labelled("or", fix(rec))
			continue
		}
		t.labelled("fix", fix(rec))
		t.labelled("verify", verify(rec))
		if !t.several {
			t.labelled("not if", rec.NotIf)
		}
	}
}
