// SPDX-License-Identifier: Apache-2.0

package heap

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestReadForeign checks that what a process mounts in place of its cgroup's files
// neither blocks nor fills the memory.
func TestReadForeign(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, err := range []error{
		unix.Mkfifo(in("fifo"), 0o600), os.Symlink("/dev/zero", in("device")), os.Symlink("fifo", in("link")),
		os.WriteFile(in("large"), make([]byte, 4*maxForeign), 0o600), os.WriteFile(in("good"), []byte("max\n"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"fifo", "device", "link", "none", "."} {
		if text, err := readForeign(in(name)); err == nil {
			t.Errorf("%s was read: %d bytes", name, len(text))
		}
	}
	if text, err := readForeign(in("large")); err != nil || len(text) != maxForeign {
		t.Errorf("of a large file %d bytes were read, %v", len(text), err)
	}
	if text, err := readForeign(in("good")); err != nil || string(text) != "max\n" {
		t.Errorf("a file is %q, %v", text, err)
	}
}

// FuzzMemoryPaths checks that no file of a process makes the parsers panic.
func FuzzMemoryPaths(f *testing.F) {
	f.Add("9:memory:/kubepods/x\n0::/kubepods/x\n")
	f.Fuzz(func(_ *testing.T, text string) {
		_, _ = memoryPaths(text)
		_, _ = parseLimit([]byte(text))
		_ = nodeMajor(strings.NewReader(text))
	})
}
