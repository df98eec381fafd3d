// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/config"
	"github.com/headroom-project/headroom/agent/otlp"
)

func TestOTLPSignals(t *testing.T) {
	both := config.OTLP{Metrics: true, Logs: true}
	if got := otlpSignals(both); len(got) != 0 {
		t.Errorf("%v without an endpoint, want nothing", got)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://c:4318/v1/logs")
	if got := OTLPText(both); got != "OTLP [logs]" {
		t.Errorf("%s with an endpoint for logs", got)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318")
	t.Setenv("OTEL_LOGS_EXPORTER", "none")
	if got := OTLPText(both); got != "OTLP [metrics]" {
		t.Errorf("%s with an endpoint for all and no logs", got)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	if err := otlp.Check(otlp.Metrics); err == nil || !strings.Contains(err.Error(), "http/protobuf") {
		t.Errorf("grpc: %v", err)
	}
}
