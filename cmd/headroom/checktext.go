// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/headroom-project/headroom/analyzers/report"
)

// text writes a checkup for a person: the outcome first.
func (c *checkup) text(w io.Writer, style report.Style) error {
	out := bufio.NewWriter(w)
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format+"\n", args...) }
	line("%s", c.outcome())
	line("\nthis host")
	for _, f := range c.Facts {
		line("  %-20s %s", f.Name, f.Value)
		cure(line, f.Cure)
	}
	line("\nsources")
	for _, s := range c.Samplers {
		line("  %-20s %s", s.Name, s.State)
		for _, g := range s.Gaps {
			line("  %20s %s", "", g.Reason)
			cure(line, g.Cure)
		}
	}
	line("\nquestions")
	for _, a := range c.Answers {
		line("  %-20s %s", a.ID, a.verdict())
	}
	if len(c.Planned) > 0 {
		line("\nnot yet (headroom explain says what each will answer)")
		line("%s", strings.Join(report.Indented("  ", strings.Join(ids(c.Planned), ", "), widthOf(style)), "\n"))
	}
	return out.Flush()
}

func widthOf(style report.Style) int {
	if style.Width > 0 {
		return style.Width
	}
	return report.DefaultWidth
}

func cure(line func(string, ...any), text string) {
	if text != "" {
		line("  %20s cure: %s", "", text)
	}
}

func (c *checkup) outcome() string {
	can, partly := 0, 0
	for _, a := range c.Answers {
		switch a.State {
		case stateYes:
			can++
		case statePartly:
			partly++
		}
	}
	s := fmt.Sprintf("headroom can answer %d of %d questions on %s", can, len(c.Answers), c.Host.Name)
	if partly > 0 {
		s += fmt.Sprintf(", and %d in part", partly)
	}
	return s
}

func (a answer) verdict() string {
	switch a.State {
	case statePartly:
		return "partly: less sure without all of " + strings.Join(a.Without, ", ")
	case stateNo:
		return "no: it needs " + strings.Join(a.Without, ", ")
	}
	return a.State
}

func ids(qs []question) []string {
	var all []string
	for _, q := range qs {
		all = append(all, q.ID)
	}
	return all
}
