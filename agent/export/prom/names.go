// SPDX-License-Identifier: Apache-2.0

package prom

import (
	"strings"

	"github.com/prometheus/otlptranslator"

	"github.com/headroom-project/headroom/agent/ledger"
	"github.com/headroom-project/headroom/agent/observe"
)

var (
	metricNamer = otlptranslator.MetricNamer{WithMetricSuffixes: true}
	labelNamer  = otlptranslator.LabelNamer{}
)

// Name returns m's name in Prometheus: the name in the catalogue with its unit, and
// _total for counters. Metrics that differ only in Attr share a name.
func Name(m *observe.Metric) string {
	name, err := metricNamer.Build(otlptranslator.Metric{Name: countName(m), Unit: string(m.Unit), Type: typeOf(m)})
	if err != nil {
		panic("metric " + m.Key() + " has no name in Prometheus: " + err.Error()) // a test builds all names
	}
	return name
}

// countName renames a level whose OpenTelemetry name ends in .count, because
// Prometheus reserves _count for distributions.
func countName(m *observe.Metric) string {
	if stem, ok := strings.CutSuffix(m.Name, ".count"); ok && m.Kind == observe.Gauge {
		return stem + ".current"
	}
	return m.Name
}

func typeOf(m *observe.Metric) otlptranslator.MetricType {
	switch m.Kind {
	case observe.Gauge:
		return otlptranslator.MetricTypeGauge
	case observe.Histogram:
		return otlptranslator.MetricTypeHistogram
	default:
		return otlptranslator.MetricTypeMonotonicCounter
	}
}

// Label returns the name of a label in Prometheus: k8s_pod_name for k8s.pod.name.
func Label(name string) string {
	label, err := labelNamer.Build(name)
	if err != nil {
		panic("label " + name + " has no name in Prometheus: " + err.Error()) // a test builds all labels
	}
	return label
}

// LabelNames returns the names of the labels of m's series, without those of Attrs.
func LabelNames(m *observe.Metric) []string {
	var names []string
	for _, name := range ledger.LabelNames(m) {
		names = append(names, Label(name))
	}
	return names
}

// Attrs returns the labels that m's Attr stands for, as alternating names and
// values: cpu_mode, user.
func Attrs(m *observe.Metric) (names, values []string) {
	if m.Attr == "" {
		return nil, nil
	}
	for pair := range strings.SplitSeq(m.Attr, ",") {
		name, value, _ := strings.Cut(pair, "=")
		names, values = append(names, Label(name)), append(values, value)
	}
	return names, values
}

// folded returns the part of a HELP text that says how processes are combined.
var folded = map[observe.Fold]string{
	observe.Summed:  "added up",
	observe.Highest: "the highest of them",
	observe.Lowest:  "the lowest of them",
}

// help returns the HELP text of all metrics with one name.
func help(ms []*observe.Metric) string {
	var parts []string
	for _, m := range ms {
		text := m.Help
		if _, values := Attrs(m); len(ms) > 1 {
			text = strings.Join(values, ", ") + ": " + text
		}
		parts = append(parts, text)
	}
	text := strings.Join(parts, " ")
	switch m := ms[0]; {
	case m.Kind != observe.Gauge:
	case m.About == observe.Process || m.About == observe.Loop || m.About == observe.Listener || m.About == observe.Upstream || m.About == observe.Queue || m.About == observe.Cache || m.About == observe.Client:
		text += " Where there are several: " + folded[m.Fold] + "."
	}
	return text
}
