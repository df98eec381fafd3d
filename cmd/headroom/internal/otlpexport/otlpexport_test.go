// SPDX-License-Identifier: Apache-2.0

package otlpexport

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	collectorlogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/headroom-project/headroom/agent/config"
	"github.com/headroom-project/headroom/agent/ledger"
	"github.com/headroom-project/headroom/analyzers/publish"
	"github.com/headroom-project/headroom/analyzers/report"
	"github.com/headroom-project/headroom/analyzers/state"
)

// unset clears the environment variables of OpenTelemetry.
func unset(t *testing.T) {
	t.Helper()
	for _, pair := range os.Environ() {
		if name, value, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "OTEL_") {
			t.Setenv(name, value)
			os.Unsetenv(name) //nolint:errcheck // it was set a line above; Setenv restores it
		}
	}
}

var both = config.OTLP{Metrics: true, Logs: true}

func TestSignals(t *testing.T) {
	for _, c := range []struct {
		name   string
		config config.OTLP
		env    map[string]string
		want   string
	}{
		{"no endpoint", both, nil, "OTLP off"},
		{"an endpoint in the config", config.OTLP{Metrics: true, Logs: true, Endpoint: "http://c:4318"}, nil, "OTLP [metrics logs]"},
		{"the config without logs", config.OTLP{Metrics: true, Endpoint: "http://c:4318"}, nil, "OTLP [metrics]"},
		{"an endpoint for logs alone", both, map[string]string{"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://c:4318/v1/logs"}, "OTLP [logs]"},
		{"no exporter of logs", both, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_LOGS_EXPORTER": "none"}, "OTLP [metrics]"},
		{"the SDK disabled", both, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "TRUE"}, "OTLP off"},
	} {
		unset(t)
		for name, value := range c.env {
			t.Setenv(name, value)
		}
		if got := Text(c.config); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		for name := range c.env {
			os.Unsetenv(name) //nolint:errcheck // for the next case; Setenv restores it
		}
	}
}

// A receiver accepts OTLP and records the requests.
type receiver struct {
	*httptest.Server
	mu      sync.Mutex
	headers http.Header
	text    string // of all requests
}

func startReceiver(t *testing.T, status int) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		messages := map[string]proto.Message{
			"/v1/metrics": &collectormetrics.ExportMetricsServiceRequest{}, "/v1/logs": &collectorlogs.ExportLogsServiceRequest{},
		}
		m, ok := messages[req.URL.Path]
		if !ok || proto.Unmarshal(body, m) != nil {
			t.Errorf("%s is not OTLP", req.URL.Path)
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.headers, r.text = req.Header, r.text+req.URL.Path+" "+prototext.Format(m)+"\n"
		w.WriteHeader(status)
	}))
	t.Cleanup(r.Close)
	return r
}

// start starts an export to a receiver, with one metric of the agent itself.
func start(t *testing.T, c config.OTLP, log io.Writer) (*Export, *prometheus.Registry) {
	t.Helper()
	own := prometheus.NewRegistry()
	own.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "headroom_test"}, func() float64 { return 42 }))
	x, err := Start(context.Background(), Options{
		Config: c, Version: "v1.2.3", Node: "node-a", Ledger: ledger.New(), Own: own, Log: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	own.MustRegister(x)
	return x, own
}

// counter returns the value of a series of a signal.
func counter(t *testing.T, own *prometheus.Registry, name, signal string) float64 {
	t.Helper()
	families, err := own.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && m.GetLabel()[0].GetValue() == signal {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	t.Errorf("%s of %s is not exported", name, signal)
	return 0
}

// TestExport checks that pending data is sent at the end: metrics, and the finding that
// was passed to a sink, with the headers of the config.
func TestExport(t *testing.T) {
	unset(t)
	r := startReceiver(t, http.StatusOK)
	x, own := start(t, config.OTLP{
		Metrics: true, Logs: true, Endpoint: r.URL, Interval: time.Hour, Headers: map[string]string{"x-tenant": "blue"},
	}, io.Discard)
	sink, ok := x.Sink()
	if !ok {
		t.Fatal("there is no sink for findings")
	}
	sink.Publish(publish.Change{To: state.Firing, At: time.Now(), Finding: &report.Finding{
		Key: "cpu-throttled/container:api", ID: "cpu-throttled", Summary: "the CPU limit is too low", State: string(state.Firing),
	}})
	x.End(10 * time.Second)
	for _, want := range []string{"/v1/metrics", "headroom_test", "/v1/logs", "cpu-throttled/container:api", "v1.2.3", "node-a"} {
		if !strings.Contains(r.text, want) {
			t.Errorf("%q was not received:\n%s", want, r.text)
		}
	}
	if got := r.headers.Get("x-tenant"); got != "blue" {
		t.Errorf("x-tenant is %q, want blue", got)
	}
	for _, signal := range []string{"metrics", "logs"} {
		if exports, failing := counter(t, own, "headroom_otlp_exports_total", signal), counter(t, own, "headroom_otlp_failing", signal); exports < 1 || failing != 0 {
			t.Errorf("%s: %v exports, failing: %v", signal, exports, failing)
		}
	}
}

// TestExportRefused checks that refused requests are counted and logged.
func TestExportRefused(t *testing.T) {
	unset(t)
	r := startReceiver(t, http.StatusForbidden)
	var log bytes.Buffer
	x, own := start(t, config.OTLP{Metrics: true, Endpoint: r.URL, Interval: time.Hour}, &log)
	if _, ok := x.Sink(); ok {
		t.Error("findings are sent although the config does not ask for logs")
	}
	x.End(10 * time.Second)
	if failures, failing := counter(t, own, "headroom_otlp_failures_total", "metrics"), counter(t, own, "headroom_otlp_failing", "metrics"); failures != 1 || failing != 1 {
		t.Errorf("%v failures, failing: %v; want 1 and 1", failures, failing)
	}
	if !strings.Contains(log.String(), "does not accept metrics") {
		t.Errorf("the log is:\n%s", log.String())
	}
}

// TestStartFails checks that an invalid environment or config is an error, and that
// nothing is sent to another receiver.
func TestStartFails(t *testing.T) {
	endpoint := config.OTLP{Metrics: true, Logs: true, Endpoint: "http://127.0.0.1:1"}
	trusting := endpoint
	trusting.CAFile = "/nonexistent/ca.pem"
	for _, c := range []struct {
		name   string
		config config.OTLP
		env    map[string]string
		want   string
	}{
		{"another protocol", endpoint, map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http/protobuf"},
		{"another protocol for logs", endpoint, map[string]string{"OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "grpc"}, "http/protobuf"},
		{"an endpoint that is no URL", both, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "not a valid URL"},
		{"a missing CA", trusting, nil, "/nonexistent/ca.pem"},
	} {
		unset(t)
		for name, value := range c.env {
			t.Setenv(name, value)
		}
		x, err := Start(context.Background(), Options{Config: c.config, Ledger: ledger.New(), Own: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)})
		if x != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Start = %v, %v, want an error with %q", c.name, x, err, c.want)
		}
		for name := range c.env {
			os.Unsetenv(name) //nolint:errcheck // for the next case; Setenv restores it
		}
	}
}
