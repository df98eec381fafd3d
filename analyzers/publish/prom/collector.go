// SPDX-License-Identifier: Apache-2.0

// Package prom exports findings as Prometheus metrics, for alerts and dashboards. It
// exports the findings of the report and calculates nothing.
package prom

import (
	"cmp"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/analyzers/report"
	"github.com/headroom-project/headroom/analyzers/state"
)

// MaxFindings limits the number of label sets of findings; further findings are counted
// without their subject.
const MaxFindings = 500

// labels are the labels of a finding: its contents and its subject. There are no pids.
var labels = []string{"id", "category", "cause", "severity", "state", "symptom", "subject_kind", "subject",
	"k8s_namespace_name", "k8s_pod_name", "container_name", "service_name"}

// The series, by name.
const (
	Findings   = "headroom_findings"
	Impact     = "headroom_finding_impact_ratio"
	Confidence = "headroom_finding_confidence_ratio"
	Forecast   = "headroom_finding_forecast_seconds"
	Checked    = "headroom_analyzer_checked_subjects"
	Skipped    = "headroom_analyzer_skipped"
	Gaps       = "headroom_gaps"
)

var (
	findings   = prometheus.NewDesc(Findings, "Number of findings with these labels. The label symptom has the id of the finding that explains them, if there is one.", labels, nil)
	impact     = prometheus.NewDesc(Impact, "Share of the time or capacity that the subject loses; the maximum of the findings with these labels.", labels, nil)
	confidence = prometheus.NewDesc(Confidence, "Confidence in the cause, from 0 to 1; the maximum of the findings with these labels.", labels, nil)
	forecast   = prometheus.NewDesc(Forecast, "Seconds until the resource in the label what runs out; the minimum of the findings with these labels. Absent if it has run out already or there is no forecast.", append(labels[:len(labels):len(labels)], "what"), nil)
	checked    = prometheus.NewDesc(Checked, "Number of subjects that the analyzer in the label id evaluated in the last window. 0 means not evaluated, not healthy.", []string{"id"}, nil)
	skipped    = prometheus.NewDesc(Skipped, "1 if the analyzer in the label id could not evaluate all or some subjects.", []string{"id"}, nil)
	gaps       = prometheus.NewDesc(Gaps, "Number of blind spots of the source. The report names the fix.", []string{"source"}, nil)
)

// A Source returns the newest report; nil while there is none. It is called
// at every scrape and must not block.
type Source func() *report.Report

type collector struct{ source Source }

// NewCollector returns a collector of the findings of source.
func NewCollector(source Source) prometheus.Collector { return collector{source} }

// Describe implements prometheus.Collector.
func (collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{findings, impact, confidence, forecast, checked, skipped, gaps} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	r := c.source()
	if r == nil {
		return
	}
	for _, s := range alike(r.Findings) {
		s.send(ch)
	}
	for _, q := range r.Checked {
		ch <- gauge(checked, float64(q.Subjects), q.ID)
	}
	unasked := make(map[string]bool)
	for _, q := range r.Skipped {
		unasked[q.ID] = true
	}
	for id := range unasked {
		ch <- gauge(skipped, 1, id)
	}
	count := make(map[string]int)
	for _, g := range r.Gaps {
		count[g.Source]++
	}
	for source, n := range count {
		ch <- gauge(gaps, float64(n), source)
	}
}

// A set is the findings of one set of labels.
type set struct {
	labels             []string
	count              int
	impact, confidence float64
	// forecast is the minimum, by the resource that runs out.
	forecast map[string]float64
}

// alike groups findings by their labels, in the order of the report, so that the least
// important findings are those beyond the limit.
func alike(fs []*report.Finding) []*set {
	sets := make(map[string]*set)
	var order []*set
	for _, f := range fs {
		values := labelsOf(f)
		if key := strings.Join(values, "\x00"); sets[key] == nil && len(order) >= MaxFindings {
			values = anonymous(values)
		}
		key := strings.Join(values, "\x00")
		s := sets[key]
		if s == nil {
			s = &set{labels: values, forecast: make(map[string]float64)}
			sets[key] = s
			order = append(order, s)
		}
		s.add(f)
	}
	return order
}

// aboutFinding is how many of the labels are about the finding, not the subject.
const aboutFinding = 6

func anonymous(values []string) []string {
	out := slices.Clone(values)
	clear(out[aboutFinding:])
	return out
}

// labelsOf returns the labels of a finding. If a name is not known they have the short
// ID, as do the series of the ledger.
func labelsOf(f *report.Finding) []string {
	s := f.Subject
	symptom := ""
	if f.SymptomOf != nil {
		symptom = f.SymptomOf.ID
	}
	return []string{f.ID, f.Category, f.Cause, f.Severity.String(), string(state.State(f.State).Labeled(f.Muted)), symptom, s.Kind, called(s), s.Namespace, catalog.ShortPodName(s.Pod), catalog.ShortContainerName(s.Container), s.Service}
}

// called returns the name of a subject: for a process outside of containers that of its
// program, as in the series of the ledger.
func called(s report.Subject) string {
	if (s.Kind == "process" || s.Kind == "loop") && s.Container == "" && s.Pod == "" {
		return cmp.Or(s.Program, s.Command, s.Name)
	}
	return s.Name
}

func (s *set) add(f *report.Finding) {
	s.count++
	s.impact = max(s.impact, float64(f.Impact))
	s.confidence = max(s.confidence, float64(f.Confidence))
	if f.Forecast == nil {
		return
	}
	at, known := s.forecast[f.Forecast.What]
	if next := float64(f.Forecast.AtSeconds); !known || next < at {
		s.forecast[f.Forecast.What] = next
	}
}

func (s *set) send(ch chan<- prometheus.Metric) {
	ch <- gauge(findings, float64(s.count), s.labels...)
	ch <- gauge(impact, s.impact, s.labels...)
	ch <- gauge(confidence, s.confidence, s.labels...)
	whats := make([]string, 0, len(s.forecast))
	for what := range s.forecast {
		whats = append(whats, what)
	}
	slices.SortFunc(whats, cmp.Compare)
	for _, what := range whats {
		ch <- gauge(forecast, s.forecast[what], append(slices.Clone(s.labels), what)...)
	}
}

func gauge(d *prometheus.Desc, v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

// Labels returns the names of the labels of a finding's series.
func Labels() []string { return slices.Clone(labels) }
