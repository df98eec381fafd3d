// SPDX-License-Identifier: Apache-2.0

// Package prom shows findings to Prometheus, for alerts and dashboards. It
// computes nothing: findings come as the report has them.
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

// MaxFindings bounds the label sets of findings; the rest is counted without
// its subject.
const MaxFindings = 500

// labels of a finding: what it says, and about whom. There are no pids.
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
	findings   = prometheus.NewDesc(Findings, "Findings that are alike in all labels. Symptoms have their cause beside them.", labels, nil)
	impact     = prometheus.NewDesc(Impact, "Share of the time or capacity that the subject loses; the largest of those alike.", labels, nil)
	confidence = prometheus.NewDesc(Confidence, "How sure the finding is of its cause; the largest of those alike.", labels, nil)
	forecast   = prometheus.NewDesc(Forecast, "Seconds until it runs out; the least of those alike. Absent where the trouble is now or nobody can tell.", append(labels[:len(labels):len(labels)], "what"), nil)
	checked    = prometheus.NewDesc(Checked, "Subjects that a question was asked of in the last window; 0 is not the same as fine.", []string{"id"}, nil)
	skipped    = prometheus.NewDesc(Skipped, "1 for a question that could not be asked, of all subjects or of some.", []string{"id"}, nil)
	gaps       = prometheus.NewDesc(Gaps, "Things that a source could not observe. The report names the cure.", []string{"source"}, nil)
)

// A Source returns the newest report; nil while there is none. It is called
// at every scrape and must not block.
type Source func() *report.Report

type collector struct{ source Source }

// NewCollector returns a collector of what source says.
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
	// forecast is the least, by what runs out.
	forecast map[string]float64
}

// alike gathers findings by their labels, in the order of the report, which is
// that of rank: what is beyond the bound is what matters least.
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

// labelsOf returns the labels of a finding. Where a name is not known they have
// the short ID that the ledger's series have too.
func labelsOf(f *report.Finding) []string {
	s := f.Subject
	symptom := ""
	if f.SymptomOf != nil {
		symptom = f.SymptomOf.ID
	}
	return []string{f.ID, f.Category, f.Cause, f.Severity.String(), string(state.State(f.State).Labeled(f.Muted)), symptom, s.Kind, s.Name, s.Namespace, catalog.ShortPodName(s.Pod), catalog.ShortContainerName(s.Container), s.Service}
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

// Labels are the names of the labels of a finding's series.
func Labels() []string { return slices.Clone(labels) }
