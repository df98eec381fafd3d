// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/run"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/agent/sampler/proc"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/cmd/headroom/internal/host"
)

// sleeper starts a process that does nothing, in its own directory, so that its command
// is unique.
func sleeper(t *testing.T) *exec.Cmd {
	t.Helper()
	program := filepath.Join(t.TempDir(), "sleeper-"+strconv.Itoa(os.Getpid()))
	whole, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, text, 0o755); err != nil { //nolint:gosec // executable
		t.Fatal(err)
	}
	cmd := exec.Command(program, "60")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

// TestRefusedPIDs checks that pids of ended processes and of kernel threads are refused
// before anything is observed.
func TestRefusedPIDs(t *testing.T) {
	zombie := sleeper(t)
	kill(t, zombie, false)
	vanished := sleeper(t)
	kill(t, vanished, true)
	for want, pid := range map[string]int{
		"is a zombie until its parent, pid " + strconv.Itoa(os.Getpid()): zombie.Process.Pid,
		"is a kernel thread": 2,
		"no process has pid": vanished.Process.Pid,
	} {
		if err := (Target{PID: pid}).Exists(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("pid %d: %v, want %q", pid, err, want)
		}
	}
	if err := (Target{PID: os.Getpid()}).Exists(); err != nil {
		t.Errorf("this process: %v", err)
	}
}

// kill kills a process, which stays a zombie unless reap is true.
func kill(t *testing.T, cmd *exec.Cmd, reap bool) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if reap {
		_ = cmd.Wait() // it was killed
		return
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
		if err == nil && strings.Contains(string(b), ") Z ") {
			return
		}
	}
	t.Fatal("a killed process is no zombie")
}

// TestEndedWhileObserved checks that the absence of findings proves nothing if all
// selected processes ended, and that findings about the others are valid if only some
// ended.
func TestEndedWhileObserved(t *testing.T) {
	t.Run("as allowed", func(t *testing.T) { endedWhileObserved(t, host.New(observe.DefaultLimit)) })
	t.Run("without eBPF", func(t *testing.T) {
		on := host.New(observe.DefaultLimit)
		on.Probes = nil
		endedWhileObserved(t, on)
	})
}

func endedWhileObserved(t *testing.T, on *sampler.Host) {
	one, two := sleeper(t), sleeper(t)
	both := Target{Command: filepath.Base(one.Path)}
	for _, c := range []struct {
		name   string
		target Target
		end    func()
		doubt  bool
		want   string
	}{
		{"lives", Target{PID: one.Process.Pid}, func() {}, false, ""},
		{"one of two", both, func() { kill(t, one, false) }, false, "ended while it was observed"},
		{"the other, reaped", Target{PID: two.Process.Pid}, func() { kill(t, two, true) }, true, "ended while it was observed"},
	} {
		r := observed(t, on, c.target, c.end)
		if len(r.Sight.Doubts) > 0 != c.doubt {
			t.Errorf("%s: doubts = %+v, want %t", c.name, r.Sight.Doubts, c.doubt)
		}
		said := slices.ContainsFunc(r.Gaps, func(g observe.Gap) bool { return c.want != "" && strings.Contains(g.Reason, c.want) })
		if said != (c.want != "") {
			t.Errorf("%s: gaps = %+v, want one with %q", c.name, r.Gaps, c.want)
		}
	}
}

// observed returns the result for processes of this host, some of which end ends after
// the first of several readings.
func observed(t *testing.T, on *sampler.Host, of Target, end func()) *analysis.Result {
	t.Helper()
	r := run.Open(run.Options{Samplers: []*sampler.Sampler{proc.Sampler}, Host: on, Interval: 200 * time.Millisecond})
	defer r.Close() //nolint:errcheck // reads alone
	differ, window := observe.NewDiffer(on.Index), observe.NewWindow(on.Index)
	readings := 0
	if err := r.Observe(t.Context(), time.Second, func(s *observe.Snapshot) error {
		window.Add(differ.Step(s))
		if readings++; readings == 1 {
			end()
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	result := &analysis.Result{Window: window}
	of.Present(result, of.Members(on.Index))
	return result
}
