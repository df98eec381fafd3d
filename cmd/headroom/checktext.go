// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/headroom-project/headroom/analyzers/report/render"
	"github.com/headroom-project/headroom/cmd/headroom/internal/checkup"
	"github.com/headroom-project/headroom/cmd/headroom/internal/lookup"
)

// A lister writes names with wrapped descriptions.
type lister struct {
	w     *bufio.Writer
	width int
}

func (l *lister) line(text string) { _, _ = l.w.WriteString(text + "\n") }

func (l *lister) item(name, text string) {
	for _, line := range render.Indented(fmt.Sprintf("  %-22s ", name), text, l.width) {
		l.line(line)
	}
}

func (l *lister) trait(reason, cure string) {
	if reason != "" {
		l.item("", reason)
	}
	if cure != "" {
		l.item("", "fix: "+cure)
	}
}

// writeCheckup writes a checkup for a person: the result first.
func writeCheckup(w io.Writer, c *checkup.Checkup, style render.Style) error {
	l := &lister{w: bufio.NewWriter(w), width: render.DefaultWidth}
	if style.Width > 0 {
		l.width = style.Width
	}
	l.line(outcome(c))
	l.line("\nthis host")
	for _, f := range c.Facts {
		l.item(f.Name, f.Value)
		l.trait("", f.Cure)
	}
	if len(c.Unseen) > 0 {
		l.line("\nblind spots")
	}
	for _, u := range c.Unseen {
		l.trait(u.Reason, u.Cure)
	}
	l.line("\nsources")
	for _, s := range c.Samplers {
		l.item(s.Name, s.State)
		for _, g := range s.Gaps {
			l.trait(g.Reason, g.Cure)
		}
	}
	l.line("\nquestions")
	for _, a := range c.Answers {
		l.item(a.ID, verdict(&a))
	}
	l.line("\nnot yet (headroom explain says what each will answer)")
	for _, line := range render.Indented("  ", strings.Join(lookup.IDs(c.Planned), ", "), l.width) {
		l.line(line)
	}
	return l.w.Flush()
}

func outcome(c *checkup.Checkup) string {
	can, partly := c.Count()
	s := fmt.Sprintf("headroom can answer %d of %d questions on %s", can, len(c.Answers), c.Host.Name)
	if partly > 0 {
		s += fmt.Sprintf(", and %d in part", partly)
	}
	return s
}

func verdict(a *checkup.Answer) string {
	switch {
	case a.OfWhatIsSeen():
		return "partly: of what is seen from here"
	case a.State == checkup.Partly:
		return "partly, less sure without all of " + strings.Join(a.Without, ", ")
	case a.State == checkup.No:
		return "no: it needs " + strings.Join(a.Without, ", ")
	}
	return a.State
}
