// SPDX-License-Identifier: Apache-2.0

package cpython

import (
	"bytes"
	"errors"
	"os"
	"testing"
)

// TestUnknown checks that a program without CPython, and what is no program, are not known.
func TestUnknown(t *testing.T) {
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{own, "cpython_test.go"} {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Read(f)
		if u := (*Unknown)(nil); !errors.As(err, &u) || u.Reason == "" {
			t.Errorf("%s: error = %v, want that it is not known", file, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

// FuzzRead checks that no file makes the parser panic or search without end.
func FuzzRead(f *testing.F) {
	if own, err := os.ReadFile("/bin/true"); err == nil {
		f.Add(own)
	}
	f.Fuzz(func(_ *testing.T, file []byte) { _, _ = Read(bytes.NewReader(file)) })
}
