// SPDX-License-Identifier: Apache-2.0

package printable

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNameAndText(t *testing.T) {
	for _, tt := range []struct{ in, name, text string }{
		{"", "", ""},
		{"node", "node", "node"},
		{"a) (b", "a) (b", "a) (b"},
		{"tab\tline\n", "tab?line?", "tab line "},
		{"\x1b[31mred", "?[31mred", "?[31mred"},
		{"carriage\rreturn\x7f", "carriage?return?", "carriage?return?"},
		{"caf\xc3\xa9", "café", "café"},
		{"caf\xc3", "caf?", "caf\uFFFD"},
		{"\xff\xfe", "??", "\uFFFD\uFFFD"},
		{"right\u202eleft", "right?left", "right?left"},         // a change of direction
		{"zero\u200bwidth\u2028", "zero?width?", "zero?width?"}, // and a line separator
		{strings.Repeat("x", 101), strings.Repeat("x", 97), strings.Repeat("x", 101)},
		{strings.Repeat("é", 60), strings.Repeat("é", 49), strings.Repeat("é", 60)},
	} {
		if got := Name(tt.in, 100); got != tt.name {
			t.Errorf("Name(%q, 100) = %q, want %q", tt.in, got, tt.name)
		}
		if got := Text(tt.in); got != tt.text {
			t.Errorf("Text(%q) = %q, want %q", tt.in, got, tt.text)
		}
	}
}

// FuzzName checks that for any name of a program the shown name is short, valid and on
// one line, and does not change when it is made printable again.
func FuzzName(f *testing.F) {
	for _, s := range []string{"node", "\x1b]0;x\a", "a\nb", "\xff", strings.Repeat("日", 90)} {
		f.Add(s, 100)
	}
	f.Fuzz(func(t *testing.T, s string, most int) {
		name := Name(s, most)
		if most >= 0 && len(name) > most {
			t.Errorf("Name(%q, %d) has %d bytes", s, most, len(name))
		}
		for _, shown := range []string{name, Text(s)} {
			if !utf8.ValidString(shown) || strings.ContainsFunc(shown, func(r rune) bool { return !Rune(r) }) {
				t.Errorf("of %q there is shown %q", s, shown)
			}
		}
		if again := Text(Text(s)); again != Text(s) {
			t.Errorf("Text of %q becomes %q", Text(s), again)
		}
	})
}
