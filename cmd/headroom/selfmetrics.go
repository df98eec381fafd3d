// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	exportprom "github.com/headroom-project/headroom/agent/export/prom"
	findingsprom "github.com/headroom-project/headroom/analyzers/publish/prom"
	"github.com/headroom-project/headroom/analyzers/report"
	"github.com/headroom-project/headroom/analyzers/state"
)

// maxScrapes bounds the answers that are made at a time.
const maxScrapes = 4

// metrics serves what the services did, what was found, and what the agent
// itself costs.
func (w *watcher) metrics() http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(
		exportprom.NewCollector(w.ledger),
		findingsprom.NewCollector(w.publicReport),
		selfCollector{w},
		memoryCollector{w},
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewGoCollector(),
	)
	reg.MustRegister(w.more...)
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{EnableOpenMetrics: true, MaxRequestsInFlight: maxScrapes})
}

// mutedState is the state that metrics give to a muted finding that is not over:
// rules on firing ones then pass it by.
const mutedState = "muted"

func (w *watcher) publicReport() *report.Report {
	r := w.Report()
	if r == nil {
		return nil
	}
	public := *r
	public.Findings = make([]*report.Finding, len(r.Findings))
	for i, f := range r.Findings {
		public.Findings[i] = f
		if f.Muted && f.State != string(state.Cleared) {
			muted := *f
			muted.State = mutedState
			public.Findings[i] = &muted
		}
	}
	return &public
}

// The series about the agent itself, beside process_* and go_*.
var (
	bySampler      = []string{"sampler"}
	samplerOpen    = prometheus.NewDesc("headroom_sampler_open", "1 for a sampler that could be opened.", bySampler, nil)
	samplerSeconds = prometheus.NewDesc("headroom_sampler_duration_seconds_total", "Time that its readings took.", bySampler, nil)
	samplerLast    = prometheus.NewDesc("headroom_sampler_last_duration_seconds", "Time that its last reading took.", bySampler, nil)
	samplerReads   = prometheus.NewDesc("headroom_sampler_reads_total", "Readings that ended.", bySampler, nil)
	samplerFails   = prometheus.NewDesc("headroom_sampler_failures_total", "Readings that failed.", bySampler, nil)
	samplerLate    = prometheus.NewDesc("headroom_sampler_late_total", "Readings that took too long to be waited for.", bySampler, nil)
	samplerHangs   = prometheus.NewDesc("headroom_sampler_hanging", "1 while a reading is under way that is not waited for.", bySampler, nil)
	entities       = prometheus.NewDesc("headroom_index_entities", "Processes, threads, cgroups and others that are followed.", nil, nil)
	refused        = prometheus.NewDesc("headroom_index_refused_total", "Entities that found no room.", nil, nil)
	judgements     = prometheus.NewDesc("headroom_judgements_total", "Windows that were judged.", nil, nil)
	judgementTook  = prometheus.NewDesc("headroom_judgement_last_duration_seconds", "Time that the last judgement took.", nil, nil)
	standstills    = prometheus.NewDesc("headroom_standstills_total", "Times in which nothing was observed: the agent or the machine was stopped.", nil, nil)
	crowded        = prometheus.NewDesc("headroom_findings_refused_total", "Findings that found no room.", nil, nil)
	configGood     = prometheus.NewDesc("headroom_config_last_reload_successful", "1 when the config that was read last is in use.", nil, nil)
	buildInfo      = prometheus.NewDesc("headroom_build_info", "Always 1.", []string{"version"}, nil)
)

type selfCollector struct{ w *watcher }

// Describe implements prometheus.Collector.
func (c selfCollector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c selfCollector) Collect(ch chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	const counter, gauge = prometheus.CounterValue, prometheus.GaugeValue
	c.w.mu.RLock()
	s, bad := c.w.self, c.w.refused
	c.w.mu.RUnlock()
	for _, r := range s.samplers {
		send(samplerOpen, gauge, one(r.Open), r.Name)
		send(samplerSeconds, counter, r.Took.Seconds(), r.Name)
		send(samplerLast, gauge, r.Last.Seconds(), r.Name)
		send(samplerReads, counter, float64(r.Reads), r.Name)
		send(samplerFails, counter, float64(r.Failures), r.Name)
		send(samplerLate, counter, float64(r.Late), r.Name)
		send(samplerHangs, gauge, one(r.Hangs), r.Name)
	}
	send(entities, gauge, float64(s.entities))
	send(refused, counter, float64(s.refused))
	send(judgements, counter, float64(s.looks))
	send(judgementTook, gauge, s.lookTook.Seconds())
	send(standstills, counter, float64(s.standstills))
	send(crowded, counter, float64(s.crowded))
	send(configGood, gauge, one(!bad))
	send(buildInfo, gauge, 1, toolVersion())
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
