// SPDX-License-Identifier: Apache-2.0

// Package otlp sends each change of a finding as a log record of OpenTelemetry.
package otlp

import (
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/publish"
	"github.com/headroom-project/headroom/analyzers/report"
	"github.com/headroom-project/headroom/analyzers/state"
)

// Event is the event name of all records.
const Event = "headroom.finding"

// record returns the log record of a change. It leaves out the command line of a
// process, which can have private arguments.
func record(c publish.Change) log.Record {
	f := c.Finding
	var r log.Record
	r.SetEventName(Event)
	r.SetTimestamp(c.At)
	r.SetObservedTimestamp(time.Now())
	r.SetSeverity(severity(c))
	r.SetSeverityText(f.Severity.String())
	r.SetBody(attribute.StringValue(f.Summary))
	r.AddAttributes(
		attribute.String("headroom.finding.key", f.Key),
		attribute.String("headroom.finding.state", string(c.To)),
		attribute.String("headroom.finding.severity", f.Severity.String()),
		attribute.Float64("headroom.finding.impact", float64(f.Impact)),
		attribute.Float64("headroom.finding.confidence", float64(f.Confidence)),
		attribute.Bool("headroom.finding.muted", f.Muted),
		attribute.String("headroom.subject.kind", f.Subject.Kind),
	)
	r.AddAttributes(given(append(subject(&f.Subject),
		attribute.String("headroom.finding.id", f.ID),
		attribute.String("headroom.finding.category", f.Category),
		attribute.String("headroom.finding.cause", f.Cause),
		attribute.String("headroom.finding.state.before", string(c.From)),
		attribute.String("headroom.finding.since", f.Since),
		attribute.String("headroom.finding.advice", advice(f)),
		attribute.String("headroom.finding.symptom_of", symptom(f)),
	))...)
	return r
}

// severities maps severities of findings to those of log records, which alerting rules use.
var severities = map[analysis.Severity]log.Severity{analysis.Info: log.SeverityInfo, analysis.Warning: log.SeverityWarn, analysis.Critical: log.SeverityError}

// severity returns the severity of the finding while it fires, otherwise info: a finding
// that is pending, resolved or muted must not alert.
func severity(c publish.Change) log.Severity {
	s, known := severities[analysis.Severity(c.Finding.Severity)]
	if c.To != state.Firing || c.Finding.Muted || !known {
		return log.SeverityInfo
	}
	return s
}

// subject names what the finding is about, as OpenTelemetry does.
func subject(s *report.Subject) []attribute.KeyValue {
	id, name := s.ContainerID, s.Container
	if catalog.IsContainerID(name) {
		id, name = name, "" // the name is not known
	}
	all := []attribute.KeyValue{
		semconv.ServiceName(s.Service),
		semconv.K8SNamespaceName(s.Namespace),
		semconv.K8SPodName(s.Pod),
		semconv.ContainerName(name),
		semconv.ContainerID(id),
		semconv.ProcessRuntimeName(s.Runtime),
		attribute.String("linux.cgroup.path", s.Cgroup),
		attribute.String("server.address", s.Address),
		attribute.String("system.device", s.Device),
	}
	if s.PID != 0 {
		all = append(all, semconv.ProcessPID(s.PID), semconv.ProcessExecutableName(s.Name))
	} else {
		all = append(all, attribute.String("headroom.subject.name", s.Name))
	}
	if kind, name, ok := strings.Cut(s.Workload, "/"); ok && workloads[kind] {
		all = append(all, attribute.String("k8s."+kind+".name", name))
	}
	return all
}

// workloads are the kinds that the semantic conventions have an attribute for.
var workloads = map[string]bool{"deployment": true, "statefulset": true, "daemonset": true, "replicaset": true, "job": true, "cronjob": true}

func advice(f *report.Finding) string {
	if len(f.Recommendations) == 0 {
		return ""
	}
	return f.Recommendations[0].Action
}

func symptom(f *report.Finding) string {
	if f.SymptomOf == nil {
		return ""
	}
	return f.SymptomOf.ID
}

// given leaves out empty attributes.
func given(all []attribute.KeyValue) []attribute.KeyValue {
	var out []attribute.KeyValue
	for _, a := range all {
		if a.Value.Type() != attribute.STRING || a.Value.AsString() != "" {
			out = append(out, a)
		}
	}
	return out
}
