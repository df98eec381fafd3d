// SPDX-License-Identifier: Apache-2.0

package dashboards

import (
	"fmt"
	"strings"
)

// Labels that queries add to those of a finding.
const (
	rank       = "rank"  // of its severity
	panelLabel = "panel" // where its numbers are
	whose      = "whose" // the variables that select its subject there
)

// ranks are what severities are sorted by.
var ranks = []struct{ severity, rank, colour string }{{"critical", "1", "red"}, {"warning", "2", "orange"}, {"info", "3", "blue"}}

// ranked adds a label by which the worst come first.
func ranked(expr string) string {
	for _, r := range ranks {
		expr = fmt.Sprintf(`label_replace(%s, %q, %q, "severity", %q)`, expr, rank, r.rank, r.severity)
	}
	return expr
}

// linked adds labels that say which panel shows a finding's numbers, and how to
// select its subject there.
func linked(expr string, others []*dashboard) string {
	add := func(label, text, of, match string) {
		expr = fmt.Sprintf("label_replace(%s, %q, %q, %q, %q)", expr, label, text, of, match)
	}
	for _, d := range others {
		for _, p := range d.Panels {
			if len(p.explains) > 0 {
				add(panelLabel, d.address(p), "id", strings.Join(p.explains, "|"))
			}
		}
	}
	add(whose, "&var-service=All", service, ".*")
	add(whose, "&var-service=$1", service, "(.+)")
	add(whose, "&var-container=$1", container, "(.+)")
	return expr
}

// findingsTable has a row for each finding.
func findingsTable(title, description, unit, expr string, others []*dashboard, more ...column) *panel {
	severities := make(map[string]any)
	for _, r := range ranks {
		severities[r.rank] = map[string]any{"text": r.severity, "color": r.colour}
	}
	columns := []column{
		{rank, "Severity", 85, []property{
			{ID: "mappings", Value: []mapping{{Type: "value", Options: severities}}},
			{ID: "custom.cellOptions", Value: map[string]any{"type": "color-text"}},
		}},
		{"id", "Finding", 180, []property{leadsTo("Show the numbers", "/d/${__data.fields."+panelLabel+":raw}${__data.fields."+whose+":raw}&var-node=${__data.fields.instance:percentencode}&${__url_time_range}", false)}},
		{"cause", "Cause", 150, []property{leadsTo("What it rests on", runbooks+"${__data.fields.id:raw}.md", true)}},
		{"subject", "Subject", 0, nil},
	}
	columns = append(columns, more...)
	columns = append(columns,
		column{"state", "State", 75, nil},
		column{container, "Container", 120, nil}, column{service, "Service", 100, nil},
		column{pod, "Pod", 100, nil}, column{namespace, "Namespace", 90, nil},
		column{instance, "Node", 100, nil}, column{"symptom", "Explained by", 140, nil})
	return table(title, description, unit, linked(expr, others), columns...).
		hide("Time", "__name__", "job", "severity", "subject_kind", panelLabel, whose)
}
