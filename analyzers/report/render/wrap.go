// SPDX-License-Identifier: Apache-2.0

package render

import (
	"strings"
	"unicode/utf8"
)

// wrap breaks text at spaces into lines of at most width; a longer word has a line
// of its own.
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

// Indented wraps text after a prefix, and indents further lines by the width of the
// prefix.
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

// minText is the minimum width of text after a prefix: on a very narrow terminal
// lines are too long, instead of one word each.
const minText = 20
