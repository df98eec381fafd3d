// SPDX-License-Identifier: Apache-2.0

// Package otlpexport sends metrics and findings to an OTLP receiver, as set in the
// config and the standard environment variables (OTEL_EXPORTER_OTLP_*).
package otlpexport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/sdk/resource"

	"github.com/headroom-project/headroom/agent/config"
	exportotlp "github.com/headroom-project/headroom/agent/export/otlp"
	"github.com/headroom-project/headroom/agent/export/self"
	"github.com/headroom-project/headroom/agent/ledger"
	"github.com/headroom-project/headroom/agent/otlp"
	"github.com/headroom-project/headroom/analyzers/publish"
	findingsotlp "github.com/headroom-project/headroom/analyzers/publish/otlp"
)

// Options are the receiver and the sources of the data to send.
type Options struct {
	Config  config.OTLP
	Version string // of headroom
	Node    string // name of the Kubernetes node, or ""
	Ledger  *ledger.Ledger
	Own     prometheus.Gatherer // metrics of the agent and its findings
	Log     *slog.Logger
}

// An Export sends metrics, and findings as a sink.
type Export struct {
	log    *slog.Logger
	sink   publish.Sink
	health []*otlp.Health
	stops  []func(context.Context) error
}

// signals returns the signals that the config and the environment enable.
func signals(c config.OTLP) []otlp.Signal {
	var all []otlp.Signal
	if c.Metrics && otlp.Enabled(otlp.Metrics, c.Endpoint) {
		all = append(all, otlp.Metrics)
	}
	if c.Logs && otlp.Enabled(otlp.Logs, c.Endpoint) {
		all = append(all, otlp.Logs)
	}
	return all
}

// Text returns the signals that a config enables, for config check.
func Text(c config.OTLP) string {
	all := signals(c)
	if len(all) == 0 {
		return "OTLP off"
	}
	return fmt.Sprintf("OTLP %v", all)
}

// Start sends until End is called. It returns nil if no signal is enabled. It
// replaces the logger and the error handler of the OpenTelemetry SDK.
func Start(ctx context.Context, o Options) (*Export, error) {
	all := signals(o.Config)
	if len(all) == 0 {
		return nil, nil
	}
	log := o.Log
	otel.SetLogger(logr.FromSlogHandler(log.Handler())) // the SDK logs invalid environment variables
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("OpenTelemetry", "err", err) }))
	from, err := otlp.Resource(ctx, o.Version, o.Node)
	if err != nil {
		log.Warn("OTLP resource attributes are incomplete", "err", err)
	}
	x := &Export{log: log}
	for _, s := range all {
		if err := x.send(ctx, s, &o, from); err != nil {
			return nil, errors.Join(err, x.stop(ctx))
		}
		log.Info("sending by OTLP", "signal", string(s))
	}
	return x, nil
}

// send starts sending a signal.
func (x *Export) send(ctx context.Context, s otlp.Signal, o *Options, from *resource.Resource) error {
	if err := otlp.Check(s); err != nil {
		return err
	}
	h := otlp.NewHealth(s, o.Log)
	start := x.sendMetrics
	if s == otlp.Logs {
		start = x.sendFindings
	}
	stop, err := start(ctx, o, from, h)
	if err != nil {
		return err
	}
	x.health, x.stops = append(x.health, h), append(x.stops, stop)
	return nil
}

func (x *Export) sendMetrics(ctx context.Context, o *Options, r *resource.Resource, h *otlp.Health) (func(context.Context) error, error) {
	client, err := metricsClient(o.Config)
	if err != nil {
		return nil, err
	}
	return exportotlp.Start(ctx, exportotlp.Options{Ledger: o.Ledger, Own: o.Own, Version: o.Version, Resource: r, Health: h, Interval: o.Config.Interval, Client: client})
}

func (x *Export) sendFindings(ctx context.Context, o *Options, r *resource.Resource, h *otlp.Health) (func(context.Context) error, error) {
	client, err := logsClient(o.Config)
	if err != nil {
		return nil, err
	}
	sink, err := findingsotlp.New(ctx, findingsotlp.Options{Version: o.Version, Resource: r, Health: h, Client: client})
	if err != nil {
		return nil, err
	}
	x.sink = sink
	return sink.Shutdown, nil
}

// Sink returns the sink that sends findings; ok reports whether to send them.
func (x *Export) Sink() (sink publish.Sink, ok bool) { return x.sink, x.sink != nil }

// metricsClient returns the options that the config sets; the SDK takes the rest
// from the environment.
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

// stop sends the remaining data, which is lost if the receiver does not answer
// before ctx ends.
func (x *Export) stop(ctx context.Context) error {
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

// End sends the remaining data, for at most the time patience.
func (x *Export) End(patience time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := x.stop(ctx); err != nil {
		x.log.Warn("the last OTLP export failed", "err", err)
	}
}

var (
	bySignal = []string{"signal"}
	exports  = prometheus.NewDesc("headroom_otlp_exports_total", "Number of exports that the OTLP receiver accepted completely.", bySignal, nil)
	failures = prometheus.NewDesc(self.OTLPFailures, "Number of exports that the OTLP receiver did not accept, or only in part.", bySignal, nil)
	dropped  = prometheus.NewDesc("headroom_otlp_dropped_total", "Number of log records that were dropped before the OTLP receiver accepted them. Metrics are totals, and are in the next export.", bySignal, nil)
	failing  = prometheus.NewDesc("headroom_otlp_failing", "1 while exports to the OTLP receiver fail, 0 while they succeed.", bySignal, nil)
)

// Describe implements prometheus.Collector.
func (x *Export) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(x, ch) }

// Collect implements prometheus.Collector.
func (x *Export) Collect(ch chan<- prometheus.Metric) {
	for _, h := range x.health {
		c, signal := h.Counts(), string(h.Counts().Signal)
		ch <- prometheus.MustNewConstMetric(exports, prometheus.CounterValue, c.Exports, signal)
		ch <- prometheus.MustNewConstMetric(failures, prometheus.CounterValue, c.Failures, signal)
		ch <- prometheus.MustNewConstMetric(dropped, prometheus.CounterValue, c.Dropped, signal)
		ch <- prometheus.MustNewConstMetric(failing, prometheus.GaugeValue, self.Bool(c.Failing), signal)
	}
}
