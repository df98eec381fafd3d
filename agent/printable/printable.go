// SPDX-License-Identifier: Apache-2.0

// Package printable makes text safe to show. Programs choose their own names, and a
// name may hold a line feed, an escape sequence, a change of direction, or bytes that
// are no character: text that a terminal or a log obeys instead of showing.
package printable

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Rune reports whether r is shown: a letter, mark, number, punctuation, symbol or the
// space.
func Rune(r rune) bool { return unicode.IsPrint(r) }

// ASCII reports whether s has printable ASCII alone, as nearly all names have.
func ASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// hidden stands for each character that is not shown.
const hidden = '?'

// Text returns s on one line, with a question mark for each character that is not
// shown. The result is valid UTF-8.
func Text(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case !Rune(r):
			return hidden
		}
		return r
	}, s)
}

// Name returns s cut to at most so many bytes, with a question mark for each character
// that is not shown, and for each byte that is no character.
func Name(s string, most int) string {
	if len(s) <= most && ASCII(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if b.Len()+utf8.UTFMax > most {
			break
		}
		if r == utf8.RuneError || !Rune(r) {
			r = hidden
		}
		b.WriteRune(r)
	}
	return b.String()
}
