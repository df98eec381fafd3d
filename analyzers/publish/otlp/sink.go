// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/log"
	sdk "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/resource"

	"github.com/headroom-project/headroom/agent/otlp"
	"github.com/headroom-project/headroom/analyzers/publish"
)

// Options configure a Sink.
type Options struct {
	Version  string
	Resource *resource.Resource
	Health   *otlp.Health
	// Client has options that take precedence over the environment.
	Client []otlploghttp.Option
	// Retry is the delay of the first retry; it doubles up to sixteen times that. 0 means
	// 2 s.
	Retry time.Duration
}

// A Sink is a publish.Sink.
type Sink struct {
	provider *sdk.LoggerProvider
	logger   log.Logger
}

// New returns a Sink, which sends until Shutdown.
func New(ctx context.Context, o Options) (*Sink, error) {
	// No retries here: the queue keeps records and retries.
	client, err := otlploghttp.New(ctx, append([]otlploghttp.Option{otlploghttp.WithRetry(otlploghttp.RetryConfig{Enabled: false})}, o.Client...)...)
	if err != nil {
		return nil, fmt.Errorf("making the OTLP client of logs: %w", err)
	}
	if o.Retry == 0 {
		o.Retry = 2 * time.Second
	}
	provider := sdk.NewLoggerProvider(sdk.WithResource(o.Resource), sdk.WithProcessor(newQueue(client, o.Health, o.Retry)))
	return &Sink{provider, provider.Logger(otlp.Scope, log.WithInstrumentationVersion(o.Version))}, nil
}

// Publish implements publish.Sink.
func (s *Sink) Publish(c publish.Change) { s.logger.Emit(context.Background(), record(c)) }

// Shutdown sends the queued records once, until ctx ends.
func (s *Sink) Shutdown(ctx context.Context) error { return s.provider.Shutdown(ctx) }
