// SPDX-License-Identifier: Apache-2.0

package dashboards

import (
	"fmt"
	"strings"

	findings "github.com/headroom-project/headroom/analyzers/publish/prom"
)

// Labels that queries add to those of a finding.
const (
	rank       = "rank"  // of its severity
	panelLabel = "panel" // dashboard panel with its numbers
	whose      = "whose" // the variables that select its subject there
)

// ranks sort findings by severity; symptoms of other findings come last.
var ranks = []struct{ severity, rank, explained, colour string }{{"critical", "1", "4", "red"}, {"warning", "2", "5", "orange"}, {"info", "3", "6", "blue"}}

// ranked adds the label rank, to sort the highest severity first.
func ranked(expr string) string {
	expr = fmt.Sprintf(`label_join(%s, %q, " ", "severity", "symptom")`, expr, rank)
	for _, r := range ranks {
		expr = fmt.Sprintf(`label_replace(%s, %q, %q, %q, %q)`, expr, rank, r.explained, rank, r.severity+" .+")
		expr = fmt.Sprintf(`label_replace(%s, %q, %q, %q, %q)`, expr, rank, r.rank, rank, r.severity+" ?")
	}
	return expr
}

// linked adds labels with the panel that shows a finding's numbers, and the
// variables that select its subject there.
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

// severity is the column of ranks, displayed as names of severities.
func severity() column {
	names := make(map[string]any)
	for _, r := range ranks {
		names[r.rank] = map[string]any{"text": r.severity, "color": r.colour}
		names[r.explained] = map[string]any{"text": r.severity, "color": "text"}
	}
	return column{rank, "Severity", 85, []property{
		{ID: "mappings", Value: []mapping{{Type: "value", Options: names}}},
		{ID: "custom.cellOptions", Value: map[string]any{"type": "color-text"}},
	}}
}

// finding links to the panel with its numbers.
func finding() column {
	const url = "/d/${__data.fields." + panelLabel + ":raw}${__data.fields." + whose + ":raw}&var-node=${__data.fields.instance:percentencode}&${__url_time_range}"
	return column{"id", "Finding", 170, []property{leadsTo("Show metrics", url, false)}}
}

// cause links to the runbook of the finding.
func cause() column {
	return column{"cause", "Cause", 150, []property{leadsTo("Open runbook", runbooks+"${__data.fields.id:raw}.md", true)}}
}

// findingsTable returns a table with a row for each finding.
func findingsTable(title, description, unit, expr string, others []*dashboard, columns ...column) *panel {
	p := table(title, description, unit, linked(expr, others), columns...)
	shown := make(map[string]bool)
	for _, c := range columns {
		shown[c.label] = true
	}
	for _, label := range append(findings.Labels(), "Time", "__name__", "job", "instance", "what", rank, panelLabel, whose) {
		if !shown[label] {
			p.hide(label)
		}
	}
	return p
}
