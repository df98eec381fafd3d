// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// agentLimit is the timeout for an agent in an emulated guest.
const agentLimit = 60 * time.Second

// TestGuestClockJumps sets the clock one hour forward, two back and one forward again
// while an agent runs. The agent uses clocks that cannot be set: it must report no
// pause, and no window of an hour.
func TestGuestClockJumps(t *testing.T) {
	a := startAgent(t, "window: 6s\nevery: 2s\n")
	for _, jump := range []time.Duration{time.Hour, -2 * time.Hour, time.Hour} {
		looks := a.metric(t, "headroom_judgements_total")
		now := unix.NsecToTimeval(time.Now().Add(jump).UnixNano())
		outside.Must(t, unix.Settimeofday(&now))
		a.await(t, "it goes on to judge", func() bool { return a.metric(t, "headroom_judgements_total") != looks })
		if code, _ := a.get("/healthz"); code != http.StatusOK {
			t.Errorf("healthz = %d after a jump of %v", code, jump)
		}
		_, text := a.get("/api/v1/findings")
		if r := parse(t, []byte(text)); r.Window.Seconds < 1 || r.Window.Seconds > 60 {
			t.Errorf("a window of %v s after a jump of %v", r.Window.Seconds, jump)
		}
	}
	if n := a.metric(t, "headroom_standstills_total"); n != "0" {
		t.Errorf("%s pauses, want 0: %s", n, &a.log)
	}
}

// An agent runs until the test ends.
type agent struct {
	cmd *exec.Cmd
	url string
	log outside.Output
}

func startAgent(t *testing.T, config string) *agent {
	t.Helper()
	file := filepath.Join(t.TempDir(), "agent.yml")
	outside.Must(t, os.WriteFile(file, []byte(config), 0o644))
	a := &agent{url: "http://127.0.0.1:9779"}
	a.cmd = exec.Command(headroom, "agent", "--config.file", file)
	a.cmd.Stdout, a.cmd.Stderr = &a.log, &a.log
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	outside.Must(t, a.cmd.Start())
	t.Cleanup(func() {
		_ = a.cmd.Process.Kill()
		_ = a.cmd.Wait()
	})
	a.await(t, "it is ready", func() bool { code, _ := a.get("/readyz"); return code == http.StatusOK })
	return a
}

func (a *agent) await(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(agentLimit); !so(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after %v this still does not hold: %s\n%s", agentLimit, what, &a.log)
		}
	}
}

// get returns the status and the text of an answer; the status is 0 without an answer.
func (a *agent) get(path string) (code int, text string) { return outside.Get(a.url + path) }

// metric returns the value of a metric that has one series.
func (a *agent) metric(t *testing.T, name string) string {
	t.Helper()
	_, text := a.get("/metrics")
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	t.Fatalf("the agent does not export %s", name)
	return ""
}
