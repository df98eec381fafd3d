// SPDX-License-Identifier: Apache-2.0

// Package prom exports a ledger to Prometheus. Names, units and help texts come
// from the catalogue, translated by Prometheus' own rules. It aggregates nothing:
// the ledger decides what a series is.
package prom

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/ledger"
	"github.com/headroom-project/headroom/agent/observe"
)

// A Collector is a prometheus.Collector over a ledger. It is safe for
// concurrent use.
type Collector struct {
	ledger   *ledger.Ledger
	families map[*observe.Metric]*family
	descs    []*prometheus.Desc
	crowded  *prometheus.Desc
	folded   *prometheus.Desc

	mu    sync.Mutex
	pairs map[seriesKey][]*dto.LabelPair
	drawn map[seriesKey][]*dto.LabelPair // label pairs used by the previous collection
}

// A family describes one metric of the catalogue in Prometheus.
type family struct {
	desc  *prometheus.Desc
	fixed []*dto.LabelPair
	names []string
}

type seriesKey struct {
	metric *observe.Metric
	key    any
}

// Series about label sets that have no series of their own.
const (
	Crowded = "headroom_export_crowded_readings_total"
	Folded  = "headroom_export_folded_label_sets"
)

// NewCollector returns a Collector of every metric in l.
func NewCollector(l *ledger.Ledger) *Collector {
	c := &Collector{
		ledger:   l,
		families: make(map[*observe.Metric]*family),
		pairs:    make(map[seriesKey][]*dto.LabelPair),
		crowded: prometheus.NewDesc(Crowded,
			"Readings of a metric that were added to its series "+ledger.Other+", because more label sets exist than series fit.", []string{"metric"}, nil),
		folded: prometheus.NewDesc(Folded,
			"Label sets, by kind, whose values are part of the series "+ledger.Other+" now: the least active ones.", []string{"kind"}, nil),
	}
	for _, ms := range byName() {
		c.add(ms)
	}
	return c
}

// byName groups the metrics of the catalogue by name, in its order.
func byName() [][]*observe.Metric {
	var all [][]*observe.Metric
	place := make(map[string]int)
	for _, m := range catalog.All() {
		if !ledger.Exported(m) {
			continue
		}
		i, ok := place[Name(m)]
		if !ok {
			i = len(all)
			place[Name(m)] = i
			all = append(all, nil)
		}
		all[i] = append(all[i], m)
	}
	return all
}

func (c *Collector) add(ms []*observe.Metric) {
	attrs, _ := Attrs(ms[0])
	desc := prometheus.NewDesc(Name(ms[0]), help(ms), append(attrs, LabelNames(ms[0])...), nil)
	c.descs = append(c.descs, desc)
	for _, m := range ms {
		f := &family{desc: desc, names: LabelNames(m)}
		names, values := Attrs(m)
		for i := range names {
			f.fixed = append(f.fixed, &dto.LabelPair{Name: &names[i], Value: &values[i]})
		}
		c.families[m] = f
	}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
	ch <- c.crowded
	ch <- c.folded
}

// Collect implements prometheus.Collector. It releases the ledger before it sends
// anything.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	for _, m := range c.read() {
		ch <- m
	}
	crowded := make(map[string]float64) // several metrics may have one name
	c.ledger.Crowded(func(m *observe.Metric, n float64) { crowded[Name(m)] += n })
	for name, n := range crowded {
		ch <- prometheus.MustNewConstMetric(c.crowded, prometheus.CounterValue, n, name)
	}
	c.ledger.Folded(func(kind string, groups int) {
		ch <- prometheus.MustNewConstMetric(c.folded, prometheus.GaugeValue, float64(groups), kind)
	})
}

func (c *Collector) read() []prometheus.Metric {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drawn, c.pairs = c.pairs, make(map[seriesKey][]*dto.LabelPair, len(c.pairs))
	all := make([]prometheus.Metric, 0, len(c.drawn))
	c.ledger.Read(func(s ledger.Series) {
		f := c.families[s.Metric]
		labels := c.labels(f, s)
		if s.Metric.Kind == observe.Histogram {
			all = append(all, newHistogram(f.desc, labels, s.Metric.Bounds, s.Hist))
			return
		}
		all = append(all, &number{desc: f.desc, labels: labels, value: s.Value, counter: s.Metric.Kind != observe.Gauge})
	})
	c.drawn = nil
	return all
}

// labels returns the label pairs of a series, built once.
func (c *Collector) labels(f *family, s ledger.Series) []*dto.LabelPair {
	key := seriesKey{s.Metric, s.Key}
	pairs, ok := c.drawn[key]
	if !ok {
		pairs = f.label(s.Labels)
	}
	c.pairs[key] = pairs
	return pairs
}

func (f *family) label(values []string) []*dto.LabelPair {
	pairs := append([]*dto.LabelPair(nil), f.fixed...)
	for i := range values {
		pairs = append(pairs, &dto.LabelPair{Name: &f.names[i], Value: &values[i]})
	}
	sortPairs(pairs)
	return pairs
}

// A number is a counter or a gauge at one moment. Its label pairs are shared.
type number struct {
	desc    *prometheus.Desc
	labels  []*dto.LabelPair
	value   float64
	counter bool
}

func (n *number) Desc() *prometheus.Desc { return n.desc }

func (n *number) Write(to *dto.Metric) error {
	to.Label = n.labels
	if n.counter {
		to.Counter = &dto.Counter{Value: &n.value}
	} else {
		to.Gauge = &dto.Gauge{Value: &n.value}
	}
	return nil
}
