// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/sdk/resource"
	collector "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/export/prom"
	"github.com/headroom-project/headroom/agent/ledger"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/otlp"
	"github.com/headroom-project/headroom/internal/testutil/fullnode"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// A receiver decodes requests with the protocol's own types.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	byName map[string]*metrics.Metric
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{status: http.StatusOK, byName: make(map[string]*metrics.Metric)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		body, err := io.ReadAll(q.Body)
		if err != nil {
			return // the exporter was stopped while it sent
		}
		var m collector.ExportMetricsServiceRequest
		if err := proto.Unmarshal(body, &m); err != nil || q.URL.Path != "/v1/metrics" {
			t.Errorf("%s: %v, or no request for metrics", q.URL, err)
		}
		if w.WriteHeader(r.status); r.status != http.StatusOK {
			return
		}
		for _, rm := range m.ResourceMetrics {
			for _, scope := range rm.ScopeMetrics {
				for _, one := range scope.Metrics {
					r.byName[one.Name] = one
				}
			}
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.byName)
}

func (r *receiver) answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

// start starts an exporter that sends the state after three seconds of a full node
// every 20 ms.
func start(t *testing.T, r *receiver) (*ledger.Ledger, *otlp.Health, *strings.Builder, func()) {
	t.Helper()
	l, n := ledger.New(), fullnode.New()
	for range 3 {
		l.Add(n.Step())
	}
	log := &strings.Builder{}
	h := otlp.NewHealth(otlp.Metrics, slog.New(slog.NewTextHandler(log, nil)))
	stop, err := Start(t.Context(), Options{Ledger: l, Version: "test", Resource: resource.Empty(), Health: h, Interval: 20 * time.Millisecond,
		Client: []otlpmetrichttp.Option{otlpmetrichttp.WithEndpointURL(otlp.URL(otlp.Metrics, r.URL))}})
	if err != nil {
		t.Fatal(err)
	}
	return l, h, log, sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := stop(ctx); err != nil {
			t.Error(err)
		}
	})
}

// TestSameAsPrometheus compares each value of a full node with that of /metrics.
func TestSameAsPrometheus(t *testing.T) {
	for _, exponential := range []bool{false, true} {
		if exponential {
			t.Setenv("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "base2_exponential_bucket_histogram")
		}
		r := newReceiver(t)
		l, _, _, stop := start(t, r)
		stop()
		sent := make(map[string]float64)
		for name, m := range r.byName {
			flatten(t, sent, name, m)
		}
		want := scraped(t, l)
		if len(want) < 5000 {
			t.Fatalf("%d series of a full node", len(want))
		}
		wrong := 0
		for series, v := range want {
			if got, ok := sent[series]; !ok || got != v {
				if wrong++; wrong < 5 {
					t.Errorf("%s is %v (%v), want %v", series, got, ok, v)
				}
			}
		}
		if len(sent) != len(want) {
			t.Errorf("%d series are sent, want %d", len(sent), len(want))
		}
	}
}

// scraped returns the values of /metrics under OpenTelemetry's names; for
// distributions, the count, the sum and the count of the first bucket.
func scraped(t *testing.T, l *ledger.Ledger) map[string]float64 {
	t.Helper()
	names := make(map[string]string)
	for _, m := range catalog.All() {
		if ledger.Exported(m) {
			names[prom.Name(m)] = m.Name
		}
	}
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(prom.NewCollector(l))
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.Metric {
			key := names[f.GetName()] + labelsOf(m.Label)
			switch {
			case names[f.GetName()] == "":
			case m.Histogram != nil:
				out[key+"count"], out[key+"sum"] = float64(m.Histogram.GetSampleCount()), m.Histogram.GetSampleSum()
				out[key+"first"] = float64(m.Histogram.GetBucket()[0].GetCumulativeCount())
			default:
				out[key] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return out
}

func labelsOf(pairs []*dto.LabelPair) string {
	all := make(map[string]string)
	for _, p := range pairs {
		if p.GetValue() != "" {
			all[p.GetName()] = p.GetValue()
		}
	}
	return text(all)
}

func attributesOf(kvs []*common.KeyValue) string {
	all := make(map[string]string)
	for _, kv := range kvs {
		all[prom.Label(kv.Key)] = kv.Value.GetStringValue()
	}
	return text(all)
}

func text(labels map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		b.WriteString(" " + k + "=" + labels[k])
	}
	return b.String() + " "
}

func flatten(t *testing.T, into map[string]float64, name string, m *metrics.Metric) {
	t.Helper()
	for _, p := range append(m.GetGauge().GetDataPoints(), m.GetSum().GetDataPoints()...) {
		into[name+attributesOf(p.Attributes)] = p.GetAsDouble()
	}
	if s := m.GetSum(); s != nil && (!s.IsMonotonic || s.AggregationTemporality != metrics.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE) {
		t.Errorf("%s is no cumulative counter", name)
	}
	for _, p := range m.GetHistogram().GetDataPoints() {
		key, n := name+attributesOf(p.Attributes), uint64(0)
		for _, c := range p.BucketCounts {
			n += c
		}
		into[key+"count"], into[key+"sum"], into[key+"first"] = float64(p.Count), p.GetSum(), float64(p.BucketCounts[0])
		if n != p.Count || len(p.BucketCounts) != len(p.ExplicitBounds)+1 {
			t.Errorf("%s: %d in %d buckets, %d in all", key, n, len(p.BucketCounts), p.Count)
		}
	}
	for _, p := range m.GetExponentialHistogram().GetDataPoints() {
		key, n := name+attributesOf(p.Attributes), p.ZeroCount
		for _, c := range p.GetPositive().GetBucketCounts() {
			n += c
		}
		into[key+"count"], into[key+"sum"], into[key+"first"] = float64(p.Count), p.GetSum(), float64(p.ZeroCount)
		if n != p.Count {
			t.Errorf("%s: %d in the buckets, %d in all", key, n, p.Count)
		}
	}
}

// TestExponentialBuckets checks that each value is in the bucket that the standard
// computes for it.
func TestExponentialBuckets(t *testing.T) {
	m := &observe.Metric{Kind: observe.Histogram, Bounds: observe.Log2Bounds(1.0/1024, 4)}
	h := observe.NewHist(m)
	h.Count[0], h.Count[1], h.Count[5] = 7, 2, 3
	p := point{}.exponential(m.Bounds, h)
	// Bucket 1 is (2^-10, 2^-9.75]: its lower bound is base^index with base 2^(1/4).
	if p.Scale != 2 || p.PositiveBucket.Offset != -40 || !slices.Equal(p.PositiveBucket.Counts, []uint64{2, 0, 0, 0, 3}) || p.ZeroCount != 7 || p.Count != 12 {
		t.Errorf("%+v", p)
	}
}

// TestReceiverGone checks that the log reports once that the receiver refuses and once
// that it accepts again, and that no data is missing afterwards.
func TestReceiverGone(t *testing.T) {
	r := newReceiver(t)
	r.answer(http.StatusBadRequest)
	_, h, log, stop := start(t, r)
	outside.Eventually(t, patience, "several tries", func() bool { return h.Counts().Failures > 2 })
	if r.count() > 0 || !h.Counts().Failing {
		t.Errorf("%d metrics got through, %+v", r.count(), h.Counts())
	}
	r.answer(http.StatusOK)
	outside.Eventually(t, patience, "it is sent", func() bool { return h.Counts().Exports > 0 })
	stop()
	if r.count() < 50 || h.Counts().Failing {
		t.Errorf("%d metrics, %+v", r.count(), h.Counts())
	}
	if lines := strings.Count(log.String(), "\n"); lines != 2 {
		t.Errorf("%d lines, want 2:\n%s", lines, log)
	}
}

// patience is the timeout on a busy machine.
const patience = 30 * time.Second
