// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// A report has the fields of the published contract that tests read.
type report struct {
	Window   struct{ Seconds float64 }
	Findings []finding
	Checked  []struct{ ID string }
	Skipped  []struct{ ID, Reason string }
	Gaps     []gap

	raw []byte // the findings as written by the command
}

type finding struct {
	ID, Cause, Severity, Summary string
	Subject                      subject
	Evidence                     []struct{ Metric, Label string }
	Recommendations              []struct {
		Verb, Unit, Action string
		Quantity           *float64
	}
	SymptomOf *struct {
		ID      string
		Subject subject
	} `json:"symptom_of"`
}

type subject struct {
	Kind, Name, Container, Pod, Cgroup string
	PID                                int
}

type gap struct{ Source, Reason, Cure string }

// patience is the time that a command may take beyond its window: verifying the eBPF
// programs is slow on an emulated CPU.
const patience = 60 * time.Second

// run runs a command, which must succeed, and returns its output.
func run(t *testing.T, cmd *exec.Cmd) []byte {
	t.Helper()
	return runBeside(t, cmd, func() {})
}

// runBeside runs a program, and calls do while it runs; do may end the program.
func runBeside(t *testing.T, cmd *exec.Cmd, do func()) []byte {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	began := time.Now()
	outside.Must(t, cmd.Start())
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	defer func() { <-done }()
	kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	err := cmd.Wait()
	t.Logf("%s: %.1f s", strings.Join(cmd.Args[1:], " "), time.Since(began).Seconds())
	if err != nil {
		t.Fatalf("%v\n%s", err, &errs)
	}
	return out.Bytes()
}

// diagnose runs headroom diagnose.
func diagnose(t *testing.T, args ...string) *report {
	t.Helper()
	return observed(t, func() *exec.Cmd { return exec.Command(headroom, diagnosis(args...)...) })
}

// observed runs headroom diagnose, again if a reading took longer than the whole window:
// an emulated guest can get no CPU time for seconds, and what headroom then does not see
// says nothing about it.
func observed(t *testing.T, command func() *exec.Cmd) *report {
	t.Helper()
	const attempts = 3
	for attempt := 1; ; attempt++ {
		cmd := command()
		r := parse(t, run(t, cmd))
		hangs := slices.ContainsFunc(r.Gaps, func(g gap) bool { return strings.HasPrefix(g.Reason, "a reading hangs") })
		if !hangs || attempt == attempts || slices.Contains(cmd.Args, "--from") {
			return r
		}
	}
}

// seenFor is how long headroom observes before and after an action.
const seenFor = 3 * time.Second

// diagnoseBeside starts headroom diagnose, calls do, and then interrupts headroom. The
// time that this takes in an emulated guest does not matter.
func diagnoseBeside(t *testing.T, do func(), args ...string) *report {
	t.Helper()
	cmd := exec.Command(headroom, diagnosis(append(args, "--duration", patience.String())...)...)
	return parse(t, runBeside(t, cmd, func() {
		for before := -1; ; {
			n := programsOf(cmd.Process.Pid)
			if n < 0 || n > 0 && n == before {
				break // it ended, or has loaded all of them
			}
			before = n
			time.Sleep(seenFor)
		}
		do()
		time.Sleep(seenFor)
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended
	}))
}

// programsOf returns the number of eBPF programs of a process, -1 if it has exited.
func programsOf(pid int) int {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	if err != nil || len(files) == 0 {
		return -1
	}
	n := 0
	for _, f := range files {
		text, _ := os.ReadFile(f) // closed in the meantime
		n += bytes.Count(text, []byte("prog_id:"))
	}
	return n
}

func diagnosis(args ...string) []string {
	return append([]string{"diagnose", "-o", "json"}, args...)
}

func parse(t *testing.T, text []byte) *report {
	t.Helper()
	var r report
	var parts struct{ Findings json.RawMessage }
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatalf("reading the report: %v\n%s", err, text)
	}
	outside.Must(t, json.Unmarshal(text, &parts))
	r.raw = parts.Findings
	t.Logf("%.1f s\n%s", r.Window.Seconds, &r)
	return &r
}

func (r *report) String() string {
	var b strings.Builder
	for i := range r.Findings {
		f := &r.Findings[i]
		fmt.Fprintf(&b, "  %s %s/%s on %s %d: %s\n", f.Severity, f.ID, f.Cause, f.Subject.Name, f.Subject.PID, f.Summary)
		for _, rec := range f.Recommendations {
			fmt.Fprintf(&b, "    → %s: %s\n", rec.Verb, rec.Action)
		}
	}
	for _, s := range r.Skipped {
		fmt.Fprintf(&b, "  skipped %s: %s\n", s.ID, s.Reason)
	}
	for _, g := range r.Gaps {
		fmt.Fprintf(&b, "  gap %s: %s (cure: %s)\n", g.Source, g.Reason, g.Cure)
	}
	return b.String()
}

// find returns the warning with an id and cause about a subject.
func (r *report) find(t *testing.T, id, cause string, about func(subject) bool) *finding {
	t.Helper()
	for i := range r.Findings {
		f := &r.Findings[i]
		if f.ID == id && f.Cause == cause && f.Severity != "info" && about(f.Subject) {
			return f
		}
	}
	t.Fatalf("no %s/%s about the right subject", id, cause)
	return nil
}

func pid(n int) func(subject) bool { return func(s subject) bool { return s.PID == n } }

// answers checks which analyzers ran and which were skipped.
func (r *report) answers(t *testing.T, checked, skipped []string) {
	t.Helper()
	was := map[string]string{}
	for _, c := range r.Checked {
		was[c.ID] = "checked"
	}
	for _, s := range r.Skipped {
		was[s.ID] = "skipped"
		if s.Reason == "" {
			t.Errorf("%s is skipped without a reason", s.ID)
		}
	}
	for want, ids := range map[string][]string{"checked": checked, "skipped": skipped} {
		for _, id := range ids {
			if was[id] != want {
				t.Errorf("%s is %q, want it %s", id, was[id], want)
			}
		}
	}
}

// curedGaps checks that there are blind spots, each with a fix. Connection tracking
// has none, because a guest does not need it.
func (r *report) curedGaps(t *testing.T) {
	t.Helper()
	if len(r.Gaps) == 0 {
		t.Error("no gap is listed")
	}
	for _, g := range r.Gaps {
		if g.Source == "" || g.Reason == "" || g.Cure == "" && g.Source != "conntrack" {
			t.Errorf("gap %+v lacks its source, reason or fix", g)
		}
	}
}

// logGaps logs what this kernel does not allow, for the table of kernels.
func logGaps(t *testing.T, gaps []gap) {
	t.Helper()
	for _, g := range gaps {
		t.Logf("GAP %s: %s (%s)", g.Source, g.Reason, g.Cure)
	}
}

// recording returns the path of a file for a recording, which the guest's init keeps.
func recording(t *testing.T) string {
	t.Helper()
	const kept = "/tmp/kept/"
	outside.Must(t, os.MkdirAll(kept, 0o755))
	return kept + strings.ReplaceAll(t.Name(), "/", "-") + ".hr"
}
