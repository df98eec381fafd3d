// SPDX-License-Identifier: Apache-2.0

// Package private starts programs whose command lines have a secret in them, for tests
// that the secret is never shown.
package private

import (
	"embed"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// Marked stands for SECRET in the lines.
const Marked = "hunter2xyz"

//go:embed lines/*.txt
var lines embed.FS

// Lines returns command lines of the shell. None of their marked words may be shown.
func Lines(t testing.TB) []string {
	t.Helper()
	files, err := fs.Glob(lines, "lines/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, file := range files {
		b, err := lines.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(strings.ReplaceAll(string(b), "SECRET", Marked)) {
			all = append(all, strings.TrimSuffix(line, "\n"))
		}
	}
	return all
}

// A Program runs until the test ends, or until it ends itself.
type Program struct {
	Line string
	PID  int
}

// Start starts this test's binary by each of the lines, with env beside the PATH. The
// binary must not run its tests then: it must recognize env and wait. dir has it under
// the names of the programs.
func Start(t testing.TB, env ...string) (programs []Program, dir string) {
	t.Helper()
	all := Lines(t)
	dir = Folder(t, all)
	work := t.TempDir()
	for _, line := range all {
		cmd := exec.Command("/bin/bash", "-c", script(line))
		cmd.Dir = work
		cmd.Env = append([]string{"PATH=" + dir}, env...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill() //nolint:errcheck // it may have ended
			_ = cmd.Wait()         //nolint:errcheck // killed
		})
		programs = append(programs, Program{line, cmd.Process.Pid})
	}
	return programs, dir
}

// script returns what bash runs for a line. Where the line itself is a bash that only
// replaces itself by another program, that is the script.
func script(line string) string {
	if strings.HasPrefix(line, `bash -c "exec -a`) {
		_, inner, _ := strings.Cut(strings.TrimSuffix(line, `"`), `"`)
		return inner
	}
	return "exec " + line
}

// Folder makes a folder in which this test's binary has the names of the programs in
// lines.
func Folder(t testing.TB, lines []string) string {
	t.Helper()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	first := filepath.Join(dir, "first")
	if err := os.WriteFile(first, binary, 0o755); err != nil {
		t.Fatal(err)
	}
	names := strings.Fields("php-fpm php-fpm8.2 postgres nginx python3.11 ruby3.1 redis-server sshd") // of exec -a
	for _, line := range lines {
		name, _, _ := strings.Cut(line, " ")
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if err := os.Link(first, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
