// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/sdk/resource"

	"github.com/headroom-project/headroom/agent/config"
	exportotlp "github.com/headroom-project/headroom/agent/export/otlp"
	"github.com/headroom-project/headroom/agent/export/self"
	"github.com/headroom-project/headroom/agent/otlp"
	findingsotlp "github.com/headroom-project/headroom/analyzers/publish/otlp"
	"github.com/headroom-project/headroom/cmd/headroom/internal/host"
)

// An otlpExport sends metrics and findings to a receiver of OTLP, if one is
// given. Nil is none.
type otlpExport struct {
	health []*otlp.Health
	stops  []func(context.Context) error
}

// otlpSignals are those that the config and the environment ask for.
func otlpSignals(c config.OTLP) []otlp.Signal {
	var all []otlp.Signal
	if c.Metrics && otlp.Enabled(otlp.Metrics, c.Endpoint) {
		all = append(all, otlp.Metrics)
	}
	if c.Logs && otlp.Enabled(otlp.Logs, c.Endpoint) {
		all = append(all, otlp.Logs)
	}
	return all
}

// startOTLP begins to send what w knows, from a node of Kubernetes or "". It is
// to be called before w sees anything.
func startOTLP(ctx context.Context, c config.OTLP, node string, w *watcher) (*otlpExport, error) {
	log := w.log
	signals := otlpSignals(c)
	if len(signals) == 0 {
		return nil, nil
	}
	otel.SetLogger(logr.FromSlogHandler(log.Handler())) // what the SDK has to say of the environment
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("OpenTelemetry", "err", err) }))
	from, err := otlp.Resource(ctx, host.Version(), node)
	if err != nil {
		log.Warn("OTLP resource attributes are incomplete", "err", err)
	}
	x := &otlpExport{}
	for _, s := range signals {
		if err := otlp.Check(s); err != nil {
			return nil, errors.Join(err, x.stop(ctx))
		}
		h := otlp.NewHealth(s, log)
		start := w.sendMetrics
		if s == otlp.Logs {
			start = w.sendFindings
		}
		stop, err := start(ctx, c, from, h)
		if err != nil {
			return nil, errors.Join(err, x.stop(ctx))
		}
		x.health, x.stops = append(x.health, h), append(x.stops, stop)
		log.Info("sending by OTLP", "signal", string(s))
	}
	w.own.MustRegister(x)
	return x, nil
}

func (w *watcher) sendMetrics(ctx context.Context, c config.OTLP, r *resource.Resource, h *otlp.Health) (func(context.Context) error, error) {
	client, err := metricsClient(c)
	if err != nil {
		return nil, err
	}
	return exportotlp.Start(ctx, exportotlp.Options{Ledger: w.ledger, Own: w.own, Version: host.Version(), Resource: r, Health: h, Interval: c.Interval, Client: client})
}

func (w *watcher) sendFindings(ctx context.Context, c config.OTLP, r *resource.Resource, h *otlp.Health) (func(context.Context) error, error) {
	client, err := logsClient(c)
	if err != nil {
		return nil, err
	}
	sink, err := findingsotlp.New(ctx, findingsotlp.Options{Version: host.Version(), Resource: r, Health: h, Client: client})
	if err != nil {
		return nil, err
	}
	w.sinks = append(w.sinks, sink)
	return sink.Shutdown, nil
}

// metricsClient has what the config says; the rest is the environment's.
func metricsClient(c config.OTLP) ([]otlpmetrichttp.Option, error) {
	if c.Endpoint == "" {
		return nil, nil
	}
	opts := []otlpmetrichttp.Option{otlpmetrichttp.WithEndpointURL(otlp.URL(otlp.Metrics, c.Endpoint))}
	if len(c.Headers) > 0 {
		opts = append(opts, otlpmetrichttp.WithHeaders(c.Headers))
	}
	if c.CAFile == "" {
		return opts, nil
	}
	trust, err := otlp.Trust(c.CAFile)
	return append(opts, otlpmetrichttp.WithTLSClientConfig(trust)), err
}

func logsClient(c config.OTLP) ([]otlploghttp.Option, error) {
	if c.Endpoint == "" {
		return nil, nil
	}
	opts := []otlploghttp.Option{otlploghttp.WithEndpointURL(otlp.URL(otlp.Logs, c.Endpoint))}
	if len(c.Headers) > 0 {
		opts = append(opts, otlploghttp.WithHeaders(c.Headers))
	}
	if c.CAFile == "" {
		return opts, nil
	}
	trust, err := otlp.Trust(c.CAFile)
	return append(opts, otlploghttp.WithTLSClientConfig(trust)), err
}

// stop sends what is left. A receiver that does not answer until ctx ends does
// not get it.
func (x *otlpExport) stop(ctx context.Context) error {
	if x == nil {
		return nil
	}
	ended := make(chan error, len(x.stops))
	for _, stop := range x.stops {
		go func() { ended <- stop(ctx) }()
	}
	var all error
	for range x.stops {
		all = errors.Join(all, <-ended)
	}
	return all
}

// end is stop within the time of a goodbye.
func (x *otlpExport) end(log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), goodbye)
	defer cancel()
	if err := x.stop(ctx); err != nil {
		log.Warn("the last OTLP export failed", "err", err)
	}
}

// OTLPText returns which signals a config sends, for config check.
func OTLPText(c config.OTLP) string {
	signals := otlpSignals(c)
	if len(signals) == 0 {
		return "OTLP off"
	}
	return fmt.Sprintf("OTLP %v", signals)
}

var (
	bySignal     = []string{"signal"}
	otlpExports  = prometheus.NewDesc("headroom_otlp_exports_total", "Times that the OTLP receiver took all that was sent.", bySignal, nil)
	otlpFailures = prometheus.NewDesc(self.OTLPFailures, "Times that the OTLP receiver did not take it, or some of it.", bySignal, nil)
	otlpDropped  = prometheus.NewDesc("headroom_otlp_dropped_total", "Log records that the OTLP receiver will not get. Metrics are totals: the next export has them.", bySignal, nil)
	otlpFailing  = prometheus.NewDesc("headroom_otlp_failing", "1 while the OTLP receiver does not take what is sent.", bySignal, nil)
)

// Describe implements prometheus.Collector.
func (x *otlpExport) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(x, ch) }

// Collect implements prometheus.Collector.
func (x *otlpExport) Collect(ch chan<- prometheus.Metric) {
	for _, h := range x.health {
		c, signal := h.Counts(), string(h.Counts().Signal)
		ch <- prometheus.MustNewConstMetric(otlpExports, prometheus.CounterValue, c.Exports, signal)
		ch <- prometheus.MustNewConstMetric(otlpFailures, prometheus.CounterValue, c.Failures, signal)
		ch <- prometheus.MustNewConstMetric(otlpDropped, prometheus.CounterValue, c.Dropped, signal)
		ch <- prometheus.MustNewConstMetric(otlpFailing, prometheus.GaugeValue, self.Bool(c.Failing), signal)
	}
}
