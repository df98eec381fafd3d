// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/headroom-project/headroom/cmd/headroom/internal/cluster"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// sparing protects the test's process from the limits that Run sets for the whole
// process.
func sparing(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{"GOMEMLIMIT": "off", "GOGC": "100", "GOMAXPROCS": "2"} {
		t.Setenv(name, value)
	}
}

// TestRun runs the agent inside the test's process and checks that it serves requests,
// reads its config again on request, and ends with ctx, with its state saved and its
// sockets closed.
func TestRun(t *testing.T) {
	sparing(t)
	dir := t.TempDir()
	config := filepath.Join(dir, "headroom.yml")
	write := func(text string) {
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("every: 10s\n")
	var log outside.Output
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(log.String())
		}
	})
	reload := make(chan os.Signal, 1)
	d, err := New(Options{
		Listen: []string{"127.0.0.1:0"}, Config: config, Storage: filepath.Join(dir, "state"),
		Kube: cluster.Options{Mode: cluster.Off}, Reload: reload, Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	address := d.endpoints.all[0].Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()

	says := func(what string) func() bool {
		return func() bool {
			status, body := outside.Get("http://" + address + "/metrics")
			return status == http.StatusOK && strings.Contains(body, what)
		}
	}
	outside.Eventually(t, patient, "it serves metrics", says("headroom_config_last_reload_successful 1"))
	write("windw: 30s\n")
	reload <- syscall.SIGHUP
	outside.Eventually(t, patient, "it refuses a bad config", says("headroom_config_last_reload_successful 0"))

	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("Run = %v, want nil\n%s", err, log.String())
		}
	case <-time.After(patient):
		t.Fatalf("Run has not returned %v after its context ended\n%s", patient, log.String())
	}
	if _, err := os.Stat(filepath.Join(dir, "state", "history")); err != nil {
		t.Errorf("the state is not saved: %v", err)
	}
	if c, err := net.Dial("tcp", address); err == nil {
		_ = c.Close()
		t.Errorf("%s is still open", address)
	}
}

// TestRunThatCannotStart checks that invalid options are an error, and that no socket
// stays open.
func TestRunThatCannotStart(t *testing.T) {
	sparing(t)
	var log outside.Output
	d, err := New(Options{Listen: []string{"127.0.0.1:0"}, Kube: cluster.Options{Mode: "maybe"}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "--kubernetes maybe") {
		t.Errorf("Run = %v, want an error that names --kubernetes maybe", err)
	}
	if c, err := net.Dial("tcp", d.endpoints.all[0].Addr().String()); err == nil {
		_ = c.Close()
		t.Error("its socket is still open")
	}
}

// patient is the timeout on a busy machine.
const patient = 20 * time.Second
