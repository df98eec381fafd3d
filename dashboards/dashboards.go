// SPDX-License-Identifier: Apache-2.0

// Package dashboards generates the Grafana dashboards, the alert and recording
// rules and the runbook pages. Its output is committed next to it; `go generate
// ./dashboards` regenerates it.
//
// Queries use metrics of the catalogue, so that a dashboard cannot query a metric
// that no exporter has.
package dashboards

import "github.com/headroom-project/headroom/agent/catalog"

//go:generate go run ./generate

// all returns the dashboards. Overview comes last: it links to panels of the
// others.
func all() []*dashboard {
	ds := []*dashboard{serviceBoard(), nodeBoard(), containersBoard(), connectionsBoard(), queuesBoard(), selfBoard()}
	return append(ds, overviewBoard(ds))
}

func board(uid, title, description string, vars []variable, panels ...*panel) *dashboard {
	return &dashboard{
		UID: uid, Title: "headroom / " + title, Description: description, Tags: []string{"headroom"}, Timezone: "browser",
		SchemaVersion: schemaVersion, Refresh: "30s", Time: timeRange{From: "now-1h", To: "now"},
		Templating: templating{List: append([]variable{sources()}, vars...)},
		Links:      []link{{Title: "headroom", Type: "dashboards", Tags: []string{"headroom"}, AsDropdown: true, KeepTime: true, IncludeVars: true}},
		Panels:     lay(panels),
	}
}

func sources() variable {
	return variable{Name: "datasource", Label: "Data source", Type: "datasource", Query: "prometheus"}
}

// choose returns a variable with the values of one label. Its value All includes
// series without this label.
func choose(name, label, of, match string) variable {
	return variable{
		Name: name, Label: label, Type: "query", Datasource: &prometheus, Refresh: 2, Multi: true, IncludeAll: true, AllValue: ".*",
		Query:   "label_values(" + of + "{" + match + "}, " + labelOf[name] + ")",
		Current: &choice{Text: "All", Value: "$__all"},
	}
}

var labelOf = map[string]string{"node": instance, "namespace": namespace, "container": container, "service": service, "program": program}

func chooseNode() variable {
	return choose("node", "Node", metricOf(catalog.CPUCount), "")
}

func chooseProgram() []variable {
	of := metricOf(catalog.ProcessCPU)
	return []variable{
		chooseNode(),
		choose("namespace", "Namespace", of, ofNode),
		choose("container", "Container", of, ofNode+","+namespace+`=~"$namespace"`),
		choose("service", "Service", of, ofNode),
		choose("program", "Program", of, ofNode),
	}
}

func chooseContainer() []variable {
	return chooseProgram()[:3]
}
