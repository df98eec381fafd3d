// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLicencesAreGroupedAndNoticesKept checks that licences with the same words are
// one text, with any line breaks and with or without an appendix, and that every
// NOTICE is kept.
func TestLicencesAreGroupedAndNoticesKept(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "NOTICE"), []byte("This product includes work of A.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var in, out strings.Builder
	for _, l := range [][2]string{{"a", "Terms of\nuse\n\nEND OF TERMS AND CONDITIONS\n\nCopyright A"}, {"b", "Terms\nof use"}, {"c", "Other terms"}} {
		fmt.Fprintf(&in, "%q %q %q %q %q\n\n", "example.com/"+l[0], "v1.0.0", "Apache-2.0", filepath.Join(dir, "LICENSE"), l[1])
	}
	if err := write(strings.NewReader(in.String()), &out); err != nil {
		t.Fatal(err)
	}
	got := out.String()
	if n := strings.Count(got, "## Apache-2.0"); n != 2 {
		t.Errorf("%d texts, want 2:\n%s", n, got)
	}
	if !strings.Contains(got, "- example.com/a v1.0.0\n- example.com/b v1.0.0\n") || strings.Count(got, "work of A") != 1 {
		t.Errorf("a and b are not under one text, or their notice is not there once:\n%s", got)
	}
}

func TestGarbledLineIsAnError(t *testing.T) {
	if err := write(strings.NewReader("\"a\" \"b\"\n"), &strings.Builder{}); err == nil {
		t.Error("no error for a line with two fields")
	}
}
