// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/sdk/resource"
	collector "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/proto"

	"github.com/headroom-project/headroom/agent/otlp"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/publish"
	"github.com/headroom-project/headroom/analyzers/report"
	"github.com/headroom-project/headroom/analyzers/state"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// A receiver decodes records with the types of the protocol.
type receiver struct {
	*httptest.Server
	mu      sync.Mutex
	status  int
	records []*logs.LogRecord
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{status: http.StatusOK}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		body, err := io.ReadAll(q.Body)
		var m collector.ExportLogsServiceRequest
		if err != nil || proto.Unmarshal(body, &m) != nil || q.URL.Path != "/v1/logs" {
			t.Errorf("%s: %v, or no request for logs", q.URL, err)
		}
		if w.WriteHeader(r.status); r.status != http.StatusOK {
			return
		}
		for _, rl := range m.ResourceLogs {
			for _, scope := range rl.ScopeLogs {
				r.records = append(r.records, scope.LogRecords...)
			}
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

func (r *receiver) got() []*logs.LogRecord {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.records
}

func newSink(t *testing.T, url string, log io.Writer) (*Sink, *otlp.Health) {
	t.Helper()
	h := otlp.NewHealth(otlp.Logs, slog.New(slog.NewTextHandler(log, nil)))
	s, err := New(t.Context(), Options{Version: "test", Resource: resource.Empty(), Health: h, Retry: 5 * time.Millisecond,
		Client: []otlploghttp.Option{otlploghttp.WithEndpointURL(otlp.URL(otlp.Logs, url))}})
	if err != nil {
		t.Fatal(err)
	}
	return s, h
}

func end(t *testing.T, s *Sink, within time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

func change(summary string, to state.State) publish.Change {
	return publish.Change{From: state.Pending, To: to, At: time.Unix(1000, 0), Finding: &report.Finding{
		Key: "k", ID: "fd-exhaustion", Cause: "leak", Severity: report.Severity(analysis.Critical), State: string(to), Impact: 0.5, Confidence: 0.9, Summary: summary,
		Subject: report.Subject{Kind: "process", PID: 42, Name: "node", Command: "node secret.js", Namespace: "shop", Pod: "api-1",
			Container: "api", ContainerID: "c0ffee", Workload: "deployment/api"},
		Recommendations: []report.Recommendation{{Action: "close them"}},
	}}
}

func TestRecord(t *testing.T) {
	r := newReceiver(t)
	s, h := newSink(t, r.URL, io.Discard)
	s.Publish(change("it leaks", state.Firing))
	s.Publish(change("it is over", state.Cleared))
	end(t, s, 10*time.Second)
	got := r.got()
	if len(got) != 2 || h.Counts().Dropped != 0 {
		t.Fatalf("%d records, %+v", len(got), h.Counts())
	}
	first := got[0]
	if first.EventName != Event || first.TimeUnixNano != 1000e9 || first.Body.GetStringValue() != "it leaks" || first.SeverityText != "critical" {
		t.Errorf("record = %v", first)
	}
	if first.SeverityNumber != logs.SeverityNumber_SEVERITY_NUMBER_ERROR || got[1].SeverityNumber != logs.SeverityNumber_SEVERITY_NUMBER_INFO {
		t.Errorf("severities %v, %v, want ERROR while it fires and INFO when it is over", first.SeverityNumber, got[1].SeverityNumber)
	}
	attrs := make(map[string]string)
	for _, kv := range first.Attributes {
		attrs[kv.Key] = kv.Value.GetStringValue()
	}
	for key, want := range map[string]string{
		"headroom.finding.id": "fd-exhaustion", "headroom.finding.cause": "leak", "headroom.finding.state": "firing", "headroom.finding.advice": "close them",
		"k8s.namespace.name": "shop", "k8s.pod.name": "api-1", "k8s.deployment.name": "api", "container.name": "api", "container.id": "c0ffee", "process.executable.name": "node",
	} {
		if attrs[key] != want {
			t.Errorf("%s is %q, want %q", key, attrs[key], want)
		}
	}
	if _, ok := attrs["service.name"]; ok || strings.Contains(first.String(), "secret.js") {
		t.Errorf("there is an empty attribute, or an argument: %v", first)
	}
}

// TestReceiverBack checks that queued records are sent in order when the receiver
// accepts them again, and that two log lines report it.
func TestReceiverBack(t *testing.T) {
	r, log := newReceiver(t), &strings.Builder{}
	r.answer(http.StatusServiceUnavailable)
	s, h := newSink(t, r.URL, log)
	const many = maxQueue + 50
	for i := range many {
		s.Publish(change(fmt.Sprint(i), state.Firing))
	}
	before := h.Counts().Failures
	outside.Eventually(t, patience, "tries of what is left", func() bool { return h.Counts().Failures > before+2 })
	r.answer(http.StatusOK)
	outside.Eventually(t, patience, "all is sent", func() bool { return len(r.got()) >= maxQueue })
	end(t, s, 10*time.Second)
	got := r.got()
	if len(got) != maxQueue || h.Counts().Dropped != many-maxQueue {
		t.Errorf("%d records, %+v", len(got), h.Counts())
	}
	for i, one := range got {
		if want := fmt.Sprint(i + many - maxQueue); one.Body.GetStringValue() != want {
			t.Fatalf("record %d is %s, want %s", i, one.Body.GetStringValue(), want)
		}
	}
	if lines := strings.Count(log.String(), "\n"); lines != 2 {
		t.Errorf("%d lines, want 2:\n%s", lines, log)
	}
}

// TestRefused checks that records are not sent again after a permanent error, as the standard requires.
func TestRefused(t *testing.T) {
	r := newReceiver(t)
	r.answer(http.StatusBadRequest)
	s, h := newSink(t, r.URL, io.Discard)
	s.Publish(change("bad", state.Firing))
	outside.Eventually(t, patience, "it is dropped", func() bool { return h.Counts().Dropped == 1 })
	r.answer(http.StatusOK)
	s.Publish(change("good", state.Firing))
	end(t, s, 10*time.Second)
	if got := r.got(); len(got) != 1 || got[0].Body.GetStringValue() != "good" {
		t.Errorf("records %v", got)
	}
}

// TestReceiverHangs checks that neither publishing nor shutdown waits for a receiver
// that does not answer.
func TestReceiverHangs(t *testing.T) {
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer server.Close()
	defer close(hang)
	s, h := newSink(t, server.URL, io.Discard)
	began := time.Now()
	for range 10 {
		s.Publish(change("x", state.Firing))
	}
	end(t, s, 100*time.Millisecond)
	if took := time.Since(began); took > 5*time.Second || h.Counts().Dropped != 10 {
		t.Errorf("it took %v, %+v", took, h.Counts())
	}
}

// patience is the timeout of a step, long enough for a busy machine.
const patience = 30 * time.Second
