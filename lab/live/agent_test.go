// SPDX-License-Identifier: Apache-2.0

package live

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// agentConfig sets the shortest possible windows: findings have the same states at
// any length.
const agentConfig = "window: 6s\nevery: 2s\nmute:\n  - id: host-saturated\n"

// Time limits: twice what docs/science.md gives for a counted fact to be raised, and
// for a resolved finding to leave the window.
const (
	pendingLimit = 20 * time.Second
	firingLimit  = 60 * time.Second
	clearLimit   = 30 * time.Second
)

// agent runs the agent and a server that stops serving for two and a half seconds at
// a time: a counted fact, which is reported at the first evaluation and fires at the
// second. Then the fault ends, and the finding must be resolved.
func agent(t *testing.T, l *lab) {
	config := filepath.Join(l.dir, "agent.yml")
	outside.Must(t, os.WriteFile(config, []byte(agentConfig), 0o644))
	server := l.node(t, nil)
	warm(t, server)
	a := l.startAgent(t, config)
	if f := a.find(t, server); f != nil {
		t.Errorf("of a healthy server: %s", f)
	}

	began := time.Now()
	fault := httpLoad(t, server.url("/burn?ms=2500"), 0.3)
	outside.Eventually(t, pendingLimit, "it is told", func() bool { return a.find(t, server) != nil })
	t.Logf("reported after %v", time.Since(began))
	outside.Eventually(t, firingLimit, "it fires", func() bool { return a.state(t, server) == "firing" })
	t.Logf("firing after %v", time.Since(began))
	a.shows(t, `headroom_findings{`, `id="event-loop-blocked"`, `state="firing"`)
	a.shows(t, `headroom_sampler_reads_total{sampler="loop"}`)
	a.shows(t, `process_resident_memory_bytes`)
	a.keepsConfig(t, config)

	fault.Stop()
	stopped := time.Now()
	outside.Eventually(t, clearLimit, "it is over", func() bool { return a.state(t, server) == "cleared" })
	t.Logf("cleared %v after the load stopped", time.Since(stopped))
	outside.Must(t, a.cmd.Process.Signal(syscall.SIGTERM))
	if code := exitCode(a.cmd.Wait()); code != 0 {
		t.Errorf("exit %d after SIGTERM, want 0\n%s", code, a.log)
	}
}

// A watch is a running agent.
type watch struct {
	cmd *exec.Cmd
	url string
	log *output
}

func (l *lab) startAgent(t *testing.T, config string) *watch {
	t.Helper()
	return l.startAgentAt(t, config, fmt.Sprintf("127.0.0.1:%d", outside.FreePort(t)))
}

func (l *lab) startAgentAt(t *testing.T, config, address string, wrapper ...string) *watch {
	t.Helper()
	a := &watch{url: "http://" + address, log: newOutput()}
	args := append(wrapper, l.headroom, "agent", "--config.file", config, "--web.listen-address", address)
	a.cmd = exec.Command(args[0], args[1:]...)
	a.cmd.Stdout, a.cmd.Stderr = a.log, a.log
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	outside.Must(t, a.cmd.Start())
	t.Cleanup(func() {
		a.cmd.Process.Kill()
		a.cmd.Wait()
		if t.Failed() {
			t.Logf("the agent wrote:\n%s", a.log)
		}
	})
	outside.Eventually(t, overhead, "the agent is ready", func() bool { code, _ := a.get("/readyz"); return code == http.StatusOK })
	return a
}

// get returns the status and the body of an answer. The status is 0 if there is no
// answer.
func (a *watch) get(path string) (int, string) { return outside.Get(a.url + path) }

// find returns the agent's finding about the server's event loop, or nil.
func (a *watch) find(t *testing.T, server *process) *finding {
	t.Helper()
	code, text := a.get("/api/v1/findings")
	if code != http.StatusOK {
		t.Fatalf("findings: status %d: %s", code, text)
	}
	r, err := parseReport([]byte(text))
	outside.Must(t, err)
	for i := range r.Findings {
		if f := &r.Findings[i]; f.ID == blockedLoop && f.Subject.PID == server.pid {
			return f
		}
	}
	return nil
}

func (a *watch) state(t *testing.T, server *process) string {
	t.Helper()
	if f := a.find(t, server); f != nil {
		return f.State
	}
	return ""
}

// shows checks that a line of the metrics contains all of these words.
func (a *watch) shows(t *testing.T, words ...string) {
	t.Helper()
	_, text := a.get("/metrics")
	for line := range strings.Lines(text) {
		all := true
		for _, w := range words {
			all = all && strings.Contains(line, w)
		}
		if all {
			return
		}
	}
	t.Errorf("no line of the metrics has %q", words)
}

// keepsConfig checks that the agent logs an invalid config and keeps the previous one.
func (a *watch) keepsConfig(t *testing.T, config string) {
	t.Helper()
	outside.Must(t, os.WriteFile(config, []byte("windo: 3s\n"), 0o644))
	outside.Must(t, a.cmd.Process.Signal(syscall.SIGHUP))
	outside.Eventually(t, sayLimit, "the bad config is refused", func() bool { return strings.Contains(a.log.String(), `line 1: unknown key`) })
	outside.Eventually(t, sayLimit, "the metrics say so", func() bool {
		_, text := a.get("/metrics")
		return strings.Contains(text, "\nheadroom_config_last_reload_successful 0\n")
	})
	if code, _ := a.get("/healthz"); code != http.StatusOK {
		t.Errorf("healthz = %d after a bad config, want 200", code)
	}
}
