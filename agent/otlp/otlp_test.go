// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	sdklog "go.opentelemetry.io/otel/sdk/log"
)

// environ replaces OpenTelemetry's environment variables until the test ends.
func environ(t *testing.T, env map[string]string) {
	t.Helper()
	for _, pair := range os.Environ() {
		if name, value, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "OTEL_") {
			t.Setenv(name, value)
			os.Unsetenv(name) //nolint:errcheck // it was set a line above; Setenv restores it
		}
	}
	for name, value := range env {
		t.Setenv(name, value)
	}
}

func TestEnabled(t *testing.T) {
	for _, c := range []struct {
		name          string
		env           map[string]string
		endpoint      string
		metrics, logs bool
	}{
		{"nothing", nil, "", false, false},
		{"an endpoint in the config", nil, "http://c:4318", true, true},
		{"an endpoint of all", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "", true, true},
		{"an endpoint of one", map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c:4318/v1/metrics"}, "", true, false},
		{"one exporter off", map[string]string{"OTEL_METRICS_EXPORTER": "none"}, "http://c:4318", false, true},
		{"another exporter", map[string]string{"OTEL_METRICS_EXPORTER": "otlp"}, "http://c:4318", true, true},
		{"the SDK off", map[string]string{"OTEL_SDK_DISABLED": "True"}, "http://c:4318", false, false},
		{"the SDK on", map[string]string{"OTEL_SDK_DISABLED": "false"}, "http://c:4318", true, true},
	} {
		environ(t, c.env)
		if metrics, logs := Enabled(Metrics, c.endpoint), Enabled(Logs, c.endpoint); metrics != c.metrics || logs != c.logs {
			t.Errorf("%s: metrics %v, logs %v; want %v, %v", c.name, metrics, logs, c.metrics, c.logs)
		}
	}
}

func TestURL(t *testing.T) {
	for endpoint, want := range map[string]string{
		"http://c:4318":         "http://c:4318/v1/metrics",
		"http://c:4318/":        "http://c:4318/v1/metrics",
		"https://c/tenant/otlp": "https://c/tenant/otlp/v1/metrics",
	} {
		if got := URL(Metrics, endpoint); got != want {
			t.Errorf("URL(Metrics, %s) = %s, want %s", endpoint, got, want)
		}
	}
}

// TestCheck checks that the variable of a signal has precedence over the general one,
// and that no message contains an endpoint, because it may contain a password.
func TestCheck(t *testing.T) {
	certificates := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(certificates, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		env  map[string]string
		want string // "" for no error
	}{
		{"nothing", nil, ""},
		{"good ones", map[string]string{
			"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_ENDPOINT": "https://u:p@c:4318", "OTEL_EXPORTER_OTLP_CERTIFICATE": certificates,
		}, ""},
		{"grpc", map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, `PROTOCOL is "grpc": only http/protobuf`},
		{"grpc for all but logs", map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "http/protobuf"}, ""},
		{"grpc for metrics", map[string]string{"OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "grpc"}, ""},
		{"no scheme", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "hunter2xyz:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT: the endpoint is not a valid URL"},
		{"another scheme", map[string]string{"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "unix:///hunter2xyz"}, "not a valid URL"},
		{"no host", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http:///v1/logs"}, "not a valid URL"},
		{"a control character", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://hunter2xyz\n:4318"}, "not a valid URL"},
		{"no certificate", map[string]string{"OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY": "/nonexistent/key.pem"}, "CLIENT_KEY: "},
	} {
		environ(t, c.env)
		err := Check(Logs)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v, want no error", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		case err != nil && strings.Contains(err.Error(), "hunter2xyz"):
			t.Errorf("%s: the error repeats the endpoint: %v", c.name, err)
		}
	}
}

// TestTrust checks that certificates of the file are trusted, and the system's are not.
func TestTrust(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	trust, err := Trust(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := http.Get(server.URL); err == nil {
		t.Fatal("the system trusts the server's certificate, so that this test shows nothing")
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trust}}
	answer, err := client.Get(server.URL)
	if err != nil {
		t.Fatalf("the server of the certificate is not trusted: %v", err)
	}
	_ = answer.Body.Close() //nolint:errcheck // empty
	if _, err := Trust(filepath.Join(t.TempDir(), "missing.pem")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of a missing file: %v", err)
	}
	if err := os.WriteFile(path, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Trust(path); err == nil || !strings.Contains(err.Error(), path+" has no certificate") {
		t.Errorf("of a file without one: %v", err)
	}
}

// TestHealth checks that every failure is counted, and that failures are logged once
// until sending succeeds again.
func TestHealth(t *testing.T) {
	var log bytes.Buffer
	h := NewHealth(Logs, slog.New(slog.NewTextHandler(&log, nil)))
	for _, err := range []error{nil, errors.New("refused\xff" + strings.Repeat("x", 400)), errors.New("refused"), nil, nil} {
		h.Sent(err)
	}
	h.Drop(3)
	h.Drop(4)
	if got, want := h.Counts(), (Counts{Signal: Logs, Exports: 3, Failures: 2, Dropped: 7}); got != want {
		t.Errorf("Counts = %+v, want %+v", got, want)
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "does not accept logs") || !strings.Contains(lines[1], "accepts logs again") {
		t.Errorf("the log is:\n%s", log.String())
	}
	if len(lines[0]) > 700 || strings.Contains(lines[0], `\xff`) {
		t.Errorf("a long answer is logged whole, or not as UTF-8:\n%s", lines[0])
	}
	h.Sent(errors.New("refused"))
	if !h.Counts().Failing || strings.Count(log.String(), "does not accept logs") != 2 {
		t.Errorf("when it fails again it is failing: %v, and the log is:\n%s", h.Counts().Failing, log.String())
	}
}

// TestAgain checks the errors that the SDK's own client returns for each response:
// Again detects one of them by its text.
func TestAgain(t *testing.T) {
	environ(t, nil)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close() //nolint:errcheck // nothing was accepted
	export := func(url string, wait time.Duration) error {
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		defer cancel()
		client, err := otlploghttp.New(ctx, otlploghttp.WithEndpointURL(url), otlploghttp.WithRetry(otlploghttp.RetryConfig{Enabled: false}))
		if err != nil {
			t.Fatal(err)
		}
		return client.Export(ctx, []sdklog.Record{{}})
	}
	for status, again := range map[int]bool{
		http.StatusOK: false, http.StatusBadRequest: false, http.StatusForbidden: false, http.StatusInternalServerError: false,
		http.StatusTooManyRequests: true, http.StatusBadGateway: true, http.StatusServiceUnavailable: true, http.StatusGatewayTimeout: true,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		err := export(server.URL, 10*time.Second)
		server.Close()
		if (err == nil) != (status == http.StatusOK) || Again(err) != again || Unreached(err) {
			t.Errorf("status %d: Again(%v) = %v, want %v; unreached: %v", status, err, Again(err), again, Unreached(err))
		}
	}
	if err := export("http://"+closed.Addr().String(), 10*time.Second); !Again(err) || !Unreached(err) {
		t.Errorf("of a closed port: Again(%v) = %v, Unreached %v; want both", err, Again(err), Unreached(err))
	}
	silent := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-silent }))
	defer server.Close()
	defer close(silent)
	if err := export(server.URL, 200*time.Millisecond); !Again(err) || !Unreached(err) {
		t.Errorf("of a receiver that does not answer: Again(%v) = %v, Unreached %v; want both", err, Again(err), Unreached(err))
	}
}

// TestResource checks that the environment has precedence, and that the instance ID
// stays the same.
func TestResource(t *testing.T) {
	attrs := func(env map[string]string, node string) map[attribute.Key]string {
		t.Helper()
		environ(t, env)
		r, err := Resource(context.Background(), "v1.2.3", node)
		if err != nil {
			t.Fatal(err)
		}
		all := make(map[attribute.Key]string)
		for _, kv := range r.Attributes() {
			all[kv.Key] = kv.Value.String()
		}
		return all
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	plain := attrs(nil, "")
	for key, want := range map[attribute.Key]string{"service.name": "headroom", "service.version": "v1.2.3", "os.type": "linux", "host.name": host} {
		if plain[key] != want {
			t.Errorf("%s = %q, want %q", key, plain[key], want)
		}
	}
	if node, ok := plain["k8s.node.name"]; ok {
		t.Errorf("outside of Kubernetes the node is %q", node)
	}
	again := attrs(nil, "")
	if id := plain["service.instance.id"]; id == "" || id != again["service.instance.id"] {
		t.Errorf("the instance is %q, and then %q", id, again["service.instance.id"])
	}
	named := attrs(map[string]string{"OTEL_SERVICE_NAME": "edge", "OTEL_RESOURCE_ATTRIBUTES": "service.version=v9,team=blue"}, "node-a")
	for key, want := range map[attribute.Key]string{"service.name": "edge", "service.version": "v9", "team": "blue", "k8s.node.name": "node-a"} {
		if named[key] != want {
			t.Errorf("by the environment %s = %q, want %q", key, named[key], want)
		}
	}
	environ(t, map[string]string{"OTEL_RESOURCE_ATTRIBUTES": "team"})
	if r, err := Resource(context.Background(), "v1", ""); err == nil || !strings.Contains(err.Error(), "OTEL_RESOURCE_ATTRIBUTES") || r == nil {
		t.Errorf("of bad attributes: %v, %v; want a resource and an error", r, err)
	}
}

// TestInstance checks that two hosts have different instance IDs.
func TestInstance(t *testing.T) {
	if a, b := instance("a"), instance("b"); a == b || a != instance("a") {
		t.Errorf("instances of a, a and b: %v, %v, %v", a, instance("a"), b)
	}
}
