// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/internal/testutil/hungfs"
)

// TestHungFileSystem checks processes that run from a file system that stopped
// answering before headroom started: they prevent neither the report nor the recording
// of diagnose, whether it ends by itself or is interrupted, and the agent can still
// observe and end.
func TestHungFileSystem(t *testing.T) {
	if testing.Short() {
		t.Skip("observes for seconds")
	}
	fs := hungfs.Mount(t, "/bin/sleep")
	for range 20 {
		fs.Start("600")
	}
	fs.Child(hungfs.TrapRoot)
	fs.Child(hungfs.TrapMemory)
	fs.Stop()
	a := configuredAgent(t, "")
	a.start()
	whole, early := diagnoseHung(t, fs, "--duration", "4s"), diagnoseHung(t, fs, "--duration", "60s")
	whole(nil) // when it ends, the other diagnose has observed something
	early(func(p *os.Process) {
		if err := p.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
	})
	a.await("the agent has judged a window", func() bool {
		status, _ := a.get("http", "/readyz", "")
		return status == http.StatusOK
	})
	if _, metrics := a.get("http", "/metrics", ""); strings.Contains(metrics, `headroom_sampler_hanging{sampler="proc"} 1`) || strings.Contains(metrics, `headroom_sampler_hanging{sampler="runqueue"} 1`) {
		t.Error("one file system hangs whole samplers")
	}
	began := time.Now()
	a.signal(syscall.SIGTERM)
	err := a.cmd.Wait()
	if took := time.Since(began); err != nil || took > 3*time.Second {
		t.Errorf("the agent ends with %v after %v:\n%s", err, took, a.log())
	}
}

// diagnoseHung starts diagnose, and returns a function that waits for its end and
// checks its report and its recording.
func diagnoseHung(t *testing.T, fs *hungfs.FS, args ...string) (wait func(interrupt func(*os.Process))) {
	t.Helper()
	saved := filepath.Join(t.TempDir(), "saved.hr")
	cmd := exec.Command("headroom", append([]string{"diagnose", "-o", "json", "--save", saved}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func(interrupt func(*os.Process)) {
		t.Helper()
		if interrupt != nil {
			interrupt(cmd.Process)
		}
		if err := cmd.Wait(); err != nil {
			t.Fatalf("diagnose %v: %v\n%s", args, err, errs.String())
		}
		var report struct{ Gaps []observe.Gap }
		if err := json.Unmarshal([]byte(out.String()), &report); err != nil {
			t.Fatalf("diagnose %v: %v: %.200s", args, err, out.String())
		}
		named := false
		for _, g := range report.Gaps {
			named = named || strings.Contains(g.Reason, "fuse.hungfs file system at "+fs.Dir) && g.Cure != ""
		}
		if !named {
			t.Errorf("diagnose %v names no file system that hangs: %+v", args, report.Gaps)
		}
		if info, err := os.Stat(saved); err != nil || info.Size() == 0 {
			t.Errorf("diagnose %v saved %v, %v", args, info, err)
		}
	}
}
