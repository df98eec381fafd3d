// SPDX-License-Identifier: Apache-2.0

package render

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/headroom-project/headroom/analyzers/analysis"
)

// Explain writes the documentation of an analyzer: its doc.md, and its params.
func Explain(w io.Writer, a *analysis.Analyzer, style Style) error {
	out := bufio.NewWriter(w)
	t := &texter{w: out, style: style, width: DefaultWidth}
	if style.Width > 0 {
		t.width = min(style.Width, maxWidth)
	}
	t.line(t.paint("strong", a.Name) + ": " + a.Title)
	t.line("")
	t.document(withoutTitle(a.Doc))
	t.line("")
	t.list("causes", strings.Join(a.Causes, ", "))
	t.list("verbs", joinVerbs(a.Verbs))
	t.list("symptom of", strings.Join(a.SymptomOf, ", "))
	for _, p := range a.Params {
		t.list("param", fmt.Sprintf("%s.%s = %s: %s", a.Name, p.Name, Human(p.Default, string(p.Unit)), p.Doc))
	}
	if len(a.Params) > 0 {
		t.list("tune", "headroom diagnose --param "+a.Name+"."+a.Params[0].Name+"=VALUE")
	}
	return out.Flush()
}

func joinVerbs(verbs []analysis.Verb) string {
	var all []string
	for _, v := range verbs {
		all = append(all, string(v))
	}
	return strings.Join(all, ", ")
}

func (t *texter) list(label, text string) {
	if text == "" {
		return
	}
	prefix := fmt.Sprintf("%-11s ", label)
	for i, line := range Indented(prefix, text, t.width) {
		if i == 0 {
			line = t.paint("quiet", prefix) + strings.TrimPrefix(line, prefix)
		}
		t.line(line)
	}
}

// withoutTitle removes the document's first heading, because its name is shown
// above.
func withoutTitle(doc string) string {
	first, rest, _ := strings.Cut(strings.TrimSpace(doc), "\n")
	if strings.HasPrefix(first, "# ") {
		return strings.TrimSpace(rest)
	}
	return strings.TrimSpace(doc)
}

// document formats Markdown for a terminal: paragraphs and list items are wrapped,
// headings bold, code and tables unchanged.
func (t *texter) document(doc string) {
	var paragraph []string
	flush := func() {
		if len(paragraph) > 0 {
			t.block(strings.Join(paragraph, " "))
		}
		paragraph = nil
	}
	code := false
	for line := range strings.Lines(doc) {
		line = strings.TrimRight(line, "\n ")
		fence := strings.HasPrefix(line, "```")
		switch {
		case fence || code || strings.HasPrefix(line, "|") || strings.HasPrefix(line, "    "):
			flush()
			code = code != fence
			if !fence {
				t.line(line)
			}
		case line == "":
			flush()
			t.line("")
		case strings.HasPrefix(line, "#"):
			flush()
			t.line(t.paint("strong", strings.TrimLeft(line, "# ")))
		case strings.HasPrefix(line, quote) && len(paragraph) > 0:
			paragraph = append(paragraph, strings.TrimPrefix(line, quote))
		case bullet(line) != "":
			flush()
			paragraph = []string{line}
		default:
			paragraph = append(paragraph, strings.TrimSpace(line))
		}
	}
	flush()
}

// block wraps a paragraph, or an item behind its bullet.
func (t *texter) block(text string) {
	text = strings.NewReplacer("`", "", "**", "").Replace(text)
	mark := bullet(text)
	for _, line := range Indented(mark, strings.TrimPrefix(text, mark), t.width) {
		t.line(line)
	}
}

// quote starts the lines of an example.
const quote = "> "

// bullet returns the mark of a list item or of a quotation, with the space before
// and after it.
func bullet(line string) string {
	if strings.HasPrefix(line, quote) {
		return quote
	}
	trimmed := strings.TrimLeft(line, " ")
	for _, mark := range []string{"- ", "* ", "1. ", "2. ", "3. ", "4. ", "5. ", "6. ", "7. ", "8. ", "9. "} {
		if strings.HasPrefix(trimmed, mark) {
			return line[:len(line)-len(trimmed)] + mark
		}
	}
	return ""
}
