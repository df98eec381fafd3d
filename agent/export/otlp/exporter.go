// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	bridge "go.opentelemetry.io/contrib/bridges/prometheus"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"

	"github.com/headroom-project/headroom/agent/ledger"
	"github.com/headroom-project/headroom/agent/otlp"
)

// Options configure the export of a ledger.
type Options struct {
	Ledger *ledger.Ledger
	// Own gathers metrics that are sent under their Prometheus names; nil for none.
	Own      prometheus.Gatherer
	Version  string
	Resource *resource.Resource
	Health   *otlp.Health
	// Interval is the time between two exports; 0 uses the environment, which defaults
	// to one minute.
	Interval time.Duration
	// Client holds options that take precedence over the environment.
	Client []otlpmetrichttp.Option
}

// Start exports the ledger until stop is called, which exports once more.
// Histograms have explicit buckets unless
// OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION says otherwise: not
// every receiver supports exponential ones.
func Start(ctx context.Context, o Options) (stop func(context.Context) error, err error) {
	// A failed export is not retried: the next one contains all of it.
	opts := append([]otlpmetrichttp.Option{otlpmetrichttp.WithRetry(otlpmetrichttp.RetryConfig{Enabled: false}),
		otlpmetrichttp.WithTemporalitySelector(metric.CumulativeTemporalitySelector)}, o.Client...)
	client, err := otlpmetrichttp.New(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("making the OTLP client of metrics: %w", err)
	}
	_, exponential := client.Aggregation(metric.InstrumentKindHistogram).(metric.AggregationBase2ExponentialHistogram)
	ropts := []metric.PeriodicReaderOption{metric.WithProducer(newProducer(o.Ledger, o.Version, exponential))}
	if o.Own != nil {
		ropts = append(ropts, metric.WithProducer(bridge.NewMetricProducer(bridge.WithGatherer(o.Own))))
	}
	if o.Interval > 0 {
		ropts = append(ropts, metric.WithInterval(o.Interval))
	}
	reader := metric.NewPeriodicReader(portioned{client, o.Health}, ropts...)
	return metric.NewMeterProvider(metric.WithReader(reader), metric.WithResource(o.Resource)).Shutdown, nil
}

// portioned exports in portions: encoded as protobuf in Go, the points of a full
// node would take 10 MB at once. It reports the result to health.
type portioned struct {
	metric.Exporter
	health *otlp.Health
}

// portion is the number of metrics in a request; each has up to Bound points.
const portion = 8

// Export implements metric.Exporter. Errors go to health only: the SDK would log
// each of them. A refused portion does not hold back the others.
func (p portioned) Export(ctx context.Context, rm *metricdata.ResourceMetrics) error {
	var failed error
	for _, scope := range rm.ScopeMetrics {
		for some := range slices.Chunk(scope.Metrics, portion) {
			err := p.Exporter.Export(ctx, &metricdata.ResourceMetrics{Resource: rm.Resource,
				ScopeMetrics: []metricdata.ScopeMetrics{{Scope: scope.Scope, Metrics: some}}})
			if err != nil && errors.Is(ctx.Err(), context.Canceled) {
				return nil // the export was canceled, which says nothing about the receiver
			}
			if failed == nil {
				failed = err
			}
			if otlp.Unreached(err) || ctx.Err() != nil {
				p.health.Sent(failed)
				return nil
			}
		}
	}
	p.health.Sent(failed)
	return nil
}
