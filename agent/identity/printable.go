// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// printable makes a name that a process chose for itself safe to show: any
// byte may be in it, a line feed, an escape sequence, half a character.
func printable(s string, most int) string {
	if len(s) <= most && plain(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if b.Len()+utf8.UTFMax > most {
			break
		}
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			r = '?'
		}
		b.WriteRune(r)
	}
	return b.String()
}

func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
