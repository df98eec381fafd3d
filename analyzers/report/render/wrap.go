// SPDX-License-Identifier: Apache-2.0

package render

import (
	"strings"
	"unicode/utf8"
)

// wrap breaks text at spaces into lines of at most width; a word that is
// longer has its own line.
func wrap(text string, width int) []string {
	var lines []string
	line, length := strings.Builder{}, 0
	for _, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		if length > 0 && length+1+n > width {
			lines = append(lines, line.String())
			line.Reset()
			length = 0
		}
		if length > 0 {
			line.WriteByte(' ')
			length++
		}
		line.WriteString(word)
		length += n
	}
	return append(lines, line.String())
}

// Indented wraps text behind a first prefix, and further lines behind spaces
// of the same width.
func Indented(prefix, text string, width int) []string {
	n := utf8.RuneCountInString(prefix)
	lines := wrap(text, max(width-n, minText))
	for i := range lines {
		if i == 0 {
			lines[i] = prefix + lines[i]
		} else {
			lines[i] = strings.Repeat(" ", n) + lines[i]
		}
	}
	return lines
}

// minText is the least width of text behind a prefix: on a very narrow
// terminal lines run over rather than fall to a word each.
const minText = 20
