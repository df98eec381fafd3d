// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/protobuf/proto"
)

// TestAgentSendsOTLP runs the agent with a receiver that stops and starts again, and
// checks that metrics arrive again and that the log reports each change once.
func TestAgentSendsOTLP(t *testing.T) {
	var got, own atomic.Int64 // all requests, and those with metrics of the agent itself
	at := "127.0.0.1:0"
	serve := func() *http.Server {
		l, err := net.Listen("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		at = l.Addr().String()
		s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			var m collector.ExportMetricsServiceRequest
			body, err := io.ReadAll(r.Body)
			if err == nil && proto.Unmarshal(body, &m) == nil && len(m.ResourceMetrics) == 1 && named(m.ResourceMetrics[0].Resource.String(), "service.name", "headroom") {
				got.Add(1)
				if strings.Contains(m.String(), "headroom_judgements_total") {
					own.Add(1)
				}
			}
		})}
		go s.Serve(l) //nolint:errcheck // it ends by Close
		return s
	}
	receiver := serve()
	a := &runningAgent{t: t, dir: t.TempDir()}
	section := "otlp: {endpoint: 'http://" + at + "', interval: 2s}\n"
	a.write("headroom.yml", section)
	a.start()
	a.await("metrics arrive, its own among them", func() bool { return got.Load() > 0 && own.Load() > 0 })
	_ = receiver.Close()
	a.await("it logs that the receiver does not accept them", func() bool { return strings.Contains(a.log(), "does not accept metrics") })
	a.await("it has tried again", func() bool {
		_, body := a.get("http", "/metrics", "")
		return strings.Contains(body, `headroom_otlp_failures_total{signal="metrics"} 3`) && strings.Contains(body, `headroom_otlp_failing{signal="metrics"} 1`)
	})
	got.Store(0)
	receiver = serve()
	defer receiver.Close() //nolint:errcheck // the test is over
	a.await("metrics arrive again", func() bool { return got.Load() > 0 && strings.Contains(a.log(), "accepts metrics again") })
	if n := strings.Count(a.log(), "does not accept metrics"); n != 1 {
		t.Errorf("it logged %d times that metrics are not accepted, want 1:\n%s", n, a.log())
	}
	a.write("headroom.yml", "every: 10s\n")
	a.signal(syscall.SIGHUP)
	a.await("it says that this takes a restart", func() bool { return strings.Contains(a.log(), "a change of otlp takes effect at the next restart") })
	a.signal(syscall.SIGTERM)
	if err := a.cmd.Wait(); err != nil {
		t.Errorf("it ends with %v, want 0:\n%s", err, a.log())
	}
}

// named reports whether a resource, as printed by protobuf, has an attribute.
func named(resource, key, value string) bool {
	text := strings.ReplaceAll(resource, " ", "")
	return strings.Contains(text, `key:"`+key+`"value:{string_value:"`+value+`"}`)
}
