// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/report/render"
)

// A progress is a status line on a terminal. Without a terminal it writes nothing.
type progress struct {
	w     io.Writer
	width int
	what  string
	total time.Duration
	shown bool
	began time.Duration
}

func (a *app) progress(what string, total time.Duration) *progress {
	p := &progress{what: what, total: total}
	if width, ok := terminal(a.stderr); ok && a.env("TERM") != "dumb" {
		p.w, p.width = a.stderr, width
		p.line(what + ": attaching")
	}
	return p
}

func (p *progress) line(text string) {
	if p.w != nil {
		r := []rune(text)
		_, _ = fmt.Fprintf(p.w, "\r\x1b[K%s", string(r[:min(len(r), max(0, p.width-1))]))
	}
}

// show redraws the line; it is called once per reading.
func (p *progress) show(s *observe.Snapshot) {
	if !p.shown {
		p.shown, p.began = true, s.Monotonic
	}
	processes := 0
	for range s.Values(catalog.ProcessCPU) {
		processes++
	}
	p.line(fmt.Sprintf("%s: %s of %s, %d processes (Ctrl-C ends it early)",
		p.what, seconds(s.Monotonic-p.began), seconds(p.total), processes))
}

func seconds(d time.Duration) string {
	return render.Human(d.Round(time.Second).Seconds(), string(observe.Seconds))
}

// done clears the line for the output after it.
func (p *progress) done() { p.line("") }

// terminal returns the width of w if it is one.
func terminal(w io.Writer) (width int, ok bool) {
	f, isFile := w.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		return render.DefaultWidth, true
	}
	return width, true
}

// style returns the style of text on stdout. See no-color.org for NO_COLOR.
func (a *app) style() render.Style {
	width, ok := terminal(a.stdout)
	return render.Style{Width: width, Color: ok && a.env("NO_COLOR") == "" && a.env("TERM") != "dumb"}
}
