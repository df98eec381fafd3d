// SPDX-License-Identifier: Apache-2.0

// Package otlp exports a ledger over OTLP. Names, units and attributes are those of
// the catalogue, unchanged. It aggregates nothing: the ledger decides what a series
// is.
package otlp

import (
	"context"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/headroom-project/headroom/agent/ledger"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/otlp"
)

// A producer converts a ledger to OpenTelemetry metric data. It implements
// sdk/metric.Producer and is safe for concurrent use.
type producer struct {
	ledger      *ledger.Ledger
	scope       instrumentation.Scope
	exponential bool

	mu    sync.Mutex
	asked time.Time // time of the previous call
	known map[any]*labels
	drawn map[any]*labels // labels used by the previous call
}

// labels holds the attributes of the series of one Series.Key, built once.
type labels struct {
	since time.Time
	drawn time.Time // last time the series was present
	// sets has one set for each Attr of a metric, "" for none.
	sets map[string]attribute.Set
}

func newProducer(l *ledger.Ledger, version string, exponential bool) *producer {
	return &producer{ledger: l, exponential: exponential, asked: time.Now(), known: make(map[any]*labels),
		scope: instrumentation.Scope{Name: otlp.Scope, Version: version}}
}

// Produce implements metric.Producer. Metrics with the same name are one metric,
// with a point for each series.
func (p *producer) Produce(context.Context) ([]metricdata.ScopeMetrics, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.drawn, p.known = p.known, make(map[any]*labels, len(p.known))
	all := gathered{place: make(map[string]int)}
	p.ledger.Read(func(s ledger.Series) {
		set, since := p.labels(s)
		at := point{set, since, now}
		switch {
		case s.Metric.Kind == observe.Gauge:
			add(&all, s.Metric, gaugeOf, at.number(s.Value, true))
		case s.Metric.Kind != observe.Histogram:
			add(&all, s.Metric, sumOf, at.number(s.Value, false))
		case p.exponential:
			add(&all, s.Metric, exponentialOf, at.exponential(s.Metric.Bounds, s.Hist))
		default:
			add(&all, s.Metric, histogramOf, at.explicit(s.Metric.Bounds, s.Hist))
		}
	})
	p.keepAbsent(now)
	p.asked = now
	if len(all.metrics) == 0 {
		return nil, nil
	}
	return []metricdata.ScopeMetrics{{Scope: p.scope, Metrics: all.metrics}}, nil
}

// goesOn is the time for which a series in ledger.Other may be absent and still
// continue its total: the ledger keeps it as long.
const goesOn = time.Hour

// keepAbsent keeps the start times of series that are absent now, because a series
// that returns continues its total.
func (p *producer) keepAbsent(now time.Time) {
	for key, l := range p.known {
		l.drawn = now
		delete(p.drawn, key)
	}
	for key, l := range p.drawn {
		if now.Sub(l.drawn) < goesOn {
			clear(l.sets)
			p.known[key] = l
		}
	}
	p.drawn = nil
}

// labels returns the attributes and the start time of a series: the count of a new
// series was zero when the ledger was read before.
func (p *producer) labels(s ledger.Series) (attribute.Set, time.Time) {
	l := p.known[s.Key]
	if l == nil {
		if l = p.drawn[s.Key]; l == nil {
			l = &labels{since: p.asked, sets: make(map[string]attribute.Set)}
		}
		p.known[s.Key] = l
	}
	set, ok := l.sets[s.Metric.Attr]
	if !ok {
		set = attributes(s.Metric, s.Labels)
		l.sets[s.Metric.Attr] = set
	}
	return set, l.since
}

// attributes returns the attributes that m's Attr stands for, and the labels of the
// series.
func attributes(m *observe.Metric, values []string) attribute.Set {
	var all []attribute.KeyValue
	if m.Attr != "" {
		for pair := range strings.SplitSeq(m.Attr, ",") {
			name, value, _ := strings.Cut(pair, "=")
			all = append(all, attribute.String(name, value))
		}
	}
	for i, name := range ledger.LabelNames(m) {
		if values[i] != "" {
			all = append(all, attribute.String(name, values[i]))
		}
	}
	return attribute.NewSet(all...)
}

// gathered holds metrics by name, in the order of the catalogue.
type gathered struct {
	metrics []metricdata.Metrics
	place   map[string]int
}

// A shape adds a point to the data of a metric. data is nil for the first point.
type shape[P any] func(data metricdata.Aggregation, p P) metricdata.Aggregation

func add[P any](g *gathered, m *observe.Metric, to shape[P], p P) {
	i, ok := g.place[m.Name]
	if !ok {
		i = len(g.metrics)
		g.place[m.Name] = i
		g.metrics = append(g.metrics, metricdata.Metrics{Name: m.Name, Description: m.Help, Unit: string(m.Unit)})
	}
	g.metrics[i].Data = to(g.metrics[i].Data, p)
}

func gaugeOf(data metricdata.Aggregation, p metricdata.DataPoint[float64]) metricdata.Aggregation {
	all, _ := data.(metricdata.Gauge[float64])
	all.DataPoints = append(all.DataPoints, p)
	return all
}

func sumOf(data metricdata.Aggregation, p metricdata.DataPoint[float64]) metricdata.Aggregation {
	all, _ := data.(metricdata.Sum[float64])
	all.Temporality, all.IsMonotonic = metricdata.CumulativeTemporality, true
	all.DataPoints = append(all.DataPoints, p)
	return all
}

func histogramOf(data metricdata.Aggregation, p metricdata.HistogramDataPoint[float64]) metricdata.Aggregation {
	all, _ := data.(metricdata.Histogram[float64])
	all.Temporality = metricdata.CumulativeTemporality
	all.DataPoints = append(all.DataPoints, p)
	return all
}

func exponentialOf(data metricdata.Aggregation, p metricdata.ExponentialHistogramDataPoint[float64]) metricdata.Aggregation {
	all, _ := data.(metricdata.ExponentialHistogram[float64])
	all.Temporality = metricdata.CumulativeTemporality
	all.DataPoints = append(all.DataPoints, p)
	return all
}
