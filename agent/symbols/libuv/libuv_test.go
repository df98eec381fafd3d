// SPDX-License-Identifier: Apache-2.0

package libuv

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"testing"

	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// TestNode checks the symbols of an official build of Node.js.
func TestNode(t *testing.T) {
	path, err := exec.LookPath("node")
	outside.Must(t, err)
	f, err := os.Open(path)
	outside.Must(t, err)
	defer f.Close() //nolint:errcheck // read only
	l, err := Read(f)
	if err != nil {
		t.Fatal(err)
	}
	if from, to := l.Span(); to-from > together || len(l.Kinds) < 4 {
		t.Errorf("the variables are in %d bytes, and %d functions run work: %+v", to-from, len(l.Kinds), l)
	}
}

// TestOtherPrograms checks executables without libuv and what is no executable.
func TestOtherPrograms(t *testing.T) {
	self, err := os.Open("/proc/self/exe")
	outside.Must(t, err)
	defer self.Close() //nolint:errcheck // read only
	if _, err := Read(self); !errors.Is(err, ErrUnknown) {
		t.Errorf("this test: %v, want no libuv", err)
	}
	if _, err := Read(bytes.NewReader([]byte("#!/bin/sh\n"))); !errors.Is(err, ErrUnknown) {
		t.Errorf("a script: %v, want no libuv", err)
	}
}

// FuzzRead checks that no file makes it panic or search for long.
func FuzzRead(f *testing.F) {
	if b, err := os.ReadFile("/bin/true"); err == nil {
		f.Add(b)
	}
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = Read(bytes.NewReader(b)) })
}
