// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/lab/outside"
)

// idle makes this binary a program that does nothing, under any name and with
// any arguments.
const idle = "HEADROOM_TEST_IDLE"

func beIdle() {
	if os.Getenv(idle) != "" {
		time.Sleep(time.Minute)
		os.Exit(0)
	}
}

// marked stands for SECRET in the lines of testdata/privacy.
const marked = "hunter2xyz"

// privateLines are command lines whose marked word must not be published.
func privateLines(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/privacy/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no lines: %v", err)
	}
	var lines []string
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(strings.ReplaceAll(string(b), "SECRET", marked)) {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	return lines
}

// programs makes a folder in which this binary has the names of the programs in
// lines.
func programs(t *testing.T, lines []string) string {
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
	first := filepath.Join(dir, "idle")
	if err := os.WriteFile(first, binary, 0o755); err != nil {
		t.Fatal(err)
	}
	names := strings.Fields("php-fpm php-fpm8.2 postgres nginx python3.11 ruby3.1 redis-server sshd")
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

// TestPrivateLines starts each line and looks for its marked word in all that is
// known of it.
func TestPrivateLines(t *testing.T) {
	lines := privateLines(t)
	dir := programs(t, lines)
	work := t.TempDir()
	r := New("/proc", "/sys/fs/cgroup", observe.NewIndex(observe.DefaultLimit))
	pids := make(map[int]string)
	for _, line := range lines {
		// Where bash only replaces itself by another program, it is the real one.
		script := "exec " + line
		if strings.HasPrefix(line, `bash -c "exec -a`) {
			_, script, _ = strings.Cut(strings.TrimSuffix(line, `"`), `"`)
		}
		cmd := exec.Command("/bin/bash", "-c", script)
		cmd.Dir = work
		cmd.Env = []string{"PATH=" + dir, idle + "=1"}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill() //nolint:errcheck // it may have ended
			_ = cmd.Wait()         //nolint:errcheck // killed
		})
		pids[cmd.Process.Pid] = line
	}
	for pid, line := range pids {
		outside.Eventually(t, startTime, "it runs: "+line, func() bool {
			link, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe")
			return err == nil && strings.HasPrefix(link, dir)
		})
		id, ok := r.Current(pid)
		if !ok {
			t.Fatalf("%q is not known", line)
		}
		r.Thread(id, pid)
		for x := id; ; {
			for key, value := range r.index.Info(x).Attrs {
				if strings.Contains(value, marked) {
					t.Errorf("%q: %s = %q", line, key, value)
				}
			}
			up, ok := r.index.Parent(x)
			if !ok {
				break
			}
			x = up
		}
	}
}
