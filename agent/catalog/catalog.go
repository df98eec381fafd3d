// SPDX-License-Identifier: Apache-2.0

// Package catalog declares every metric of headroom, one file per subsystem. Samplers
// provide the metrics, analyzers need them, exporters and documentation list them. No
// other package defines metric names.
//
// Names follow OpenTelemetry's semantic conventions v1.37 where they define one; the
// others begin with "headroom.".
package catalog

import "github.com/headroom-project/headroom/agent/observe"

// All returns every metric. Documentation, archives and tests range over it.
func All() []*observe.Metric {
	var all []*observe.Metric
	for _, group := range [][]*observe.Metric{cpuMetrics, pressureMetrics, cgroupMetrics, cgroupMemoryMetrics, processMetrics, processMemoryMetrics, heapMetrics, loopMetrics, runQueueMetrics, hostMetrics, socketMetrics, oomMetrics, memoryMetrics, diskMetrics, nicMetrics, networkMetrics, upstreamMetrics, queueMetrics, filesMetrics, connectionMetrics, requestMetrics, threadMetrics, redisMetrics, clientMetrics, kubeMetrics, limitMetrics, filesystemMetrics} {
		all = append(all, group...)
	}
	return all
}

// internal marks a metric that only analyzers read.
func internal(m *observe.Metric) *observe.Metric {
	m.Internal = true
	return m
}

// kept makes the history keep a metric of entities whose value once reached from.
func kept(m *observe.Metric, from float64) *observe.Metric {
	m.Keep = &observe.Keep{From: from}
	return m
}

// ByKey returns All by Metric.Key.
func ByKey() map[string]*observe.Metric {
	byKey := make(map[string]*observe.Metric)
	for _, m := range All() {
		byKey[m.Key()] = m
	}
	return byKey
}
