// SPDX-License-Identifier: Apache-2.0

// Package private starts programs with secrets in their command lines. Tests use it to
// check that the secrets are never shown.
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

// Marked is the secret: it replaces the word SECRET in the lines.
const Marked = "hunter2xyz"

//go:embed lines/*.txt
var lines embed.FS

// Lines returns shell command lines. None of their marked words may be shown.
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

// A Program is a running program. It is killed when the test ends.
type Program struct {
	Line string
	PID  int
}

// Start runs each of the command lines, with this test's binary in place of the
// programs and with PATH and env as the environment. The binary must recognize env and
// wait instead of running its tests. dir contains the binary under the names of the
// programs.
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

// script returns the script that bash runs for a line. If the line is a bash that
// only execs another program, this is the script of that bash.
func script(line string) string {
	if strings.HasPrefix(line, `bash -c "exec -a`) {
		_, inner, _ := strings.Cut(strings.TrimSuffix(line, `"`), `"`)
		return inner
	}
	return "exec " + line
}

// Folder makes a folder that contains this test's binary under the names of the
// programs in lines.
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
