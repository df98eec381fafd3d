// SPDX-License-Identifier: Apache-2.0

package live

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// Scenarios of the command itself.

// interrupt sends SIGINT after four of sixty seconds. The report must cover these
// four seconds.
func interrupt(t *testing.T, l *lab) {
	app := l.node(t, nil)
	httpLoad(t, app.url("/burn?ms=200"), faultyRate).waitAnswers(t, 2)
	var out, errs bytes.Buffer
	cmd := exec.Command(l.headroom, "diagnose", "--duration", "60s", "-o", "json")
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	outside.Must(t, cmd.Start())
	timer := time.AfterFunc(4*time.Second, func() { cmd.Process.Signal(os.Interrupt) })
	defer timer.Stop()
	kill := time.AfterFunc(observeFor+overhead, func() { cmd.Process.Kill() })
	defer kill.Stop()
	if code := exitCode(cmd.Wait()); code != 0 {
		t.Fatalf("exit %d\n%s", code, &errs)
	}
	r, err := parseReport(out.Bytes())
	outside.Must(t, err)
	if r.Window.Seconds < 2 || r.Window.Seconds > 6 {
		t.Errorf("the window is %.1f s, want about 4", r.Window.Seconds)
	}
	r.find(t, blockedLoop, "on-cpu", pid(app.pid))
}

// badInput expects one clear line on stderr and exit status 2.
func badInput(t *testing.T, l *lab) {
	good := l.anyRecording(t)
	text, err := os.ReadFile(good)
	outside.Must(t, err)
	truncated, foreign, empty := l.file(t, "truncated.hr", text[:shortestHeader]), l.file(t, "foreign.hr", []byte("GIF89a, not a recording\n")), l.file(t, "empty.hr", nil)
	for name, args := range map[string][]string{
		"vanished-pid":      {"--pid", strconv.Itoa(vanishedPID(t))},
		"unknown-container": {"--container", "no-such-container"},
		"unknown-pod":       {"--pod", "no-such-pod"},
		"unknown-command":   {"--command", "no-such-command"},
		"truncated":         {"--from", truncated},
		"foreign":           {"--from", foreign},
		"empty":             {"--from", empty},
		"folder":            {"--from", l.dir},
		"no-file":           {"--from", filepath.Join(l.dir, "absent.hr")},
		"word-duration":     {"--duration", "banana"},
		"negative-duration": {"--duration", "-3s"},
		"zero-duration":     {"--duration", "0s"},
		"unknown-format":    {"-o", "gif", "--from", good},
		"unknown-severity":  {"--fail-on", "panic", "--from", good},
		"unwritable":        {"--duration", "1s", "--save", filepath.Join(l.dir, "no", "such", "folder.hr")},
	} {
		began := time.Now()
		stdout, stderr, code := command(t, append([]string{l.headroom, "diagnose"}, args...)...)
		line := strings.TrimSuffix(string(stderr), "\n")
		if code != 2 {
			t.Errorf("%s: exit %d, want 2", name, code)
		}
		if line == "" || strings.Contains(line, "\n") {
			t.Errorf("%s: stderr is not one line: %q", name, stderr)
		}
		if len(stdout) > 0 {
			t.Errorf("%s: stdout: %q", name, stdout)
		}
		if took := time.Since(began); took > sayLimit {
			t.Errorf("%s: the error came after %v", name, took)
		}
	}
}

// shortestHeader is shorter than the header of a recording.
const shortestHeader = 20

// cutRecording diagnoses a truncated recording, as left by a full disk or an
// interrupted copy. The report must cover the part before the cut and mention the cut.
func cutRecording(t *testing.T, l *lab) {
	text, err := os.ReadFile(l.anyRecording(t))
	outside.Must(t, err)
	// The first reading is most of a short recording, so half of the file may not
	// contain a second one.
	r := l.diagnose(t, nil, "--from", l.file(t, "cut.hr", text[:len(text)*9/10]))
	if !slices.ContainsFunc(r.Gaps, func(g gap) bool { return g.Source == "recording" && strings.Contains(g.Reason, "cut off") }) {
		t.Errorf("the report does not mention that the recording was cut:\n%s", r)
	}
}

// sayLimit is the time limit for rejecting bad input, which happens before anything
// is observed.
const sayLimit = 5 * time.Second

// anyRecording returns a recording of an earlier scenario, or makes one.
func (l *lab) anyRecording(t *testing.T) string {
	t.Helper()
	if len(*l.observed) == 0 {
		l.observe(t)
	}
	return (*l.observed)[0].recording
}

func (l *lab) file(t *testing.T, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(l.dir, name)
	outside.Must(t, os.WriteFile(path, text, 0o644))
	return path
}

// vanishedPID returns the pid of a process that has just exited.
func vanishedPID(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("true")
	outside.Must(t, cmd.Run())
	return cmd.Process.Pid
}

// replay diagnoses each recording of this run again, and expects the same findings,
// byte for byte.
func replay(t *testing.T, l *lab) {
	if len(*l.observed) == 0 {
		app := l.node(t, nil)
		l.stalled(t, app, httpLoad(t, app.url("/burn?ms=200"), faultyRate))
	}
	for _, o := range *l.observed {
		stdout, stderr, code := command(t, l.headroom, "diagnose", "-o", "json", "--from", o.recording)
		if code != 0 {
			t.Errorf("%s: exit %d\n%s", o.scenario, code, stderr)
			continue
		}
		again, err := parseReport(stdout)
		outside.Must(t, err)
		if !bytes.Equal(again.raw, o.report.raw) {
			t.Errorf("%s: replayed\n%s\nlive\n%s", o.scenario, again.raw, o.report.raw)
		}
		l.failsOn(t, o)
	}
}

// failsOn checks that --fail-on warning exits 1 only if there is a warning.
func (l *lab) failsOn(t *testing.T, o observation) {
	t.Helper()
	want := 0
	for i := range o.report.Findings {
		if o.report.Findings[i].Warns() {
			want = 1
		}
	}
	_, stderr, code := command(t, l.headroom, "diagnose", "--fail-on", "warning", "--from", o.recording)
	if code != want {
		t.Errorf("%s: --fail-on warning exits %d, want %d\n%s", o.scenario, code, want, stderr)
	}
}
