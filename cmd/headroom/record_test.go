// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// full mounts a file system of a given size, with an older recording in it.
func full(t *testing.T, size string) (path string) {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("headroom-test", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	path = filepath.Join(dir, "x.hr")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// on runs headroom, and checks that the old recording is unchanged.
func on(t *testing.T, path string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = execute(append(args, path), strings.NewReader(""), &out, &errs, func(string) string { return "" })
	if text, err := os.ReadFile(path); err != nil || string(text) != "old" {
		t.Errorf("the old recording is %q, %v", text, err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("beside the old recording there are %v, %v", entries, err)
	}
	return status, out.String(), errs.String()
}

// TestRecordOnFullDisk checks that record fails before it observes.
func TestRecordOnFullDisk(t *testing.T) {
	status, _, stderr := on(t, full(t, "4k"), "record", "--duration", "1h")
	if status != exitFailed || !strings.Contains(stderr, "no space left") {
		t.Errorf("status %d, %q", status, stderr)
	}
}

// TestSaveOnFullDisk checks that on a disk that fills up the recording is lost but the
// report is not.
func TestSaveOnFullDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("observes for seconds")
	}
	status, stdout, stderr := on(t, full(t, "8k"), "diagnose", "--duration", "2s", "-o", "json", "--save")
	if status != exitFailed || !strings.Contains(stderr, "no space left") || !strings.Contains(stdout, `"headroom/report/v1"`) {
		t.Errorf("status %d, %q, and %d bytes of a report", status, stderr, len(stdout))
	}
}
