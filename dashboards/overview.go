// SPDX-License-Identifier: Apache-2.0

package dashboards

import (
	. "github.com/headroom-project/headroom/agent/catalog" //nolint:staticcheck // queries read as a table
	findings "github.com/headroom-project/headroom/analyzers/publish/prom"
)

// active leaves out findings that are over.
const active = `,state!="cleared"`

// ofCgroups are those of the whole node.
var ofCgroups = ofNode + "," + noParents

func overviewBoard(others []*dashboard) *dashboard {
	found := func(m, match string) string { return m + "{" + ofNode + active + match + "}" }
	count := func(severity string) string {
		return "sum(" + findings.Findings + "{" + ofNode + `,state="firing",severity="` + severity + `",symptom=""}) or vector(0)`
	}
	near := func(title, description, legend, board, graph, expr string) *panel {
		return bars(title, description, unitShare, query{top("8", expr), legend}).warn(0.7, 0.9).most(1).overTime(others, board, graph)
	}
	return board("headroom-overview", "Overview", "What is found, and what is nearest to which limit.", []variable{chooseNode()},
		stat("Critical", "Findings that fire, without those that another one explains.", unitCount, count("critical")).warn(1, 1),
		stat("Warnings", "Findings that fire, without those that another one explains.", unitCount, count("warning")).warn(1, 10),
		stat("Questions not asked", "Analyzers that could not look at all or some subjects. Silence is not health.", unitCount, "count(max by (id) ("+findings.Skipped+"{"+ofNode+"})) or vector(0)").warn(1, 20),
		stat("Gaps", "Things that a source could not observe.", unitCount, "sum("+findings.Gaps+"{"+ofNode+"}) or vector(0)").warn(1, 20),
		findingsTable("Findings", "What is wrong now. A finding leads to the panel with its numbers, a cause to what it rests on. One that has another behind \"explained by\" goes when that one goes.",
			unitShare, ranked(found(findings.Impact, "")), others,
			severity(), column{"category", "Category", 95, nil}, finding(), cause(), column{"subject", "Subject", 0, nil}, column{value, "Share lost", 95, nil}, column{"state", "State", 75, nil},
			column{container, "Container", 120, nil}, column{service, "Service", 100, nil}, column{pod, "Pod", 100, nil}, column{namespace, "Namespace", 90, nil},
			column{instance, "Node", 100, nil}, column{"symptom", "Explained by", 140, nil}).sorted(order("Severity", false), order("Share lost", true)).tall(),
		graph("Findings over time", "How many fire, without those that another one explains: when did it begin, and what began with it.", unitCount,
			query{sum(by("category", "id"), found(findings.Findings, `,state="firing",symptom=""`)), "{{category}}: {{id}}"}).stacked().whole(),
		findingsTable("Running out", "Time that is left, where it can be told.", unitSeconds, ranked(found(findings.Forecast, "")), others,
			column{value, "Time left", 90, nil}, finding(), column{"subject", "Subject", 90, nil}, column{container, "Container", 110, nil}, column{instance, "Node", 80, nil},
			column{"what", "Of", 0, nil}).sorted(order("Time left", false)).beside().leftover(),
		near("CPU", "Share of all cores that work.", nodeName, "headroom-node", "Where CPU time goes",
			"clamp_max("+share(sum(perNode, rate(CPUUser, ofNode))+" + "+sum(perNode, rate(CPUSystem, ofNode)), highest(perNode, sel(CPUCount, ofNode)))+", 1)"),
		near("Memory", "Share that a new program cannot have.", nodeName, "headroom-node", "Memory",
			"1 - "+share(lowest(perNode, sel(HostMemoryAvailable, ofNode)), highest(perNode, sel(MemoryTotal, ofNode)))),
		near("Event loops", "Share of the time in which they work; of those that were there for more than a moment.", nodeName+" "+name, "headroom-service", "Event loop utilisation",
			loopShare(ofNode)),
		near("Descriptors", "Of the fullest process, against its limit.", nodeName+" "+name, "headroom-service", "Descriptors of the fullest process",
			share(highest(perProgram, sel(ProcessFDs, ofNode)), lowest(perProgram, sel(ProcessFDLimit, ofNode)))),
		near("Memory limits", "Memory of containers against their limit, without page cache that goes first.", nodeName+" "+cgroupName, "headroom-containers", "Memory against the limit",
			share(sum(perCgroup, sel(CgroupMemoryUsage, ofCgroups))+" - "+sum(perCgroup, sel(CgroupMemoryInactiveFile, ofCgroups)), lowest(perCgroup, sel(CgroupMemoryLimit, ofCgroups)))),
		near("Throttling", "Share of periods in which the quota ran out.", nodeName+" "+cgroupName, "headroom-containers", "Throttled periods",
			share(sum(perCgroup, rate(CgroupThrottled, ofCgroups)), sum(perCgroup, rate(CgroupPeriods, ofCgroups)))),
	)
}

// overTime leads from a bar to the graph that shows it over time.
func (p *panel) overTime(all []*dashboard, board, title string) *panel {
	p.FieldConfig.Defaults.Links = []link{{Title: "Over time", URL: "/d/" + addressOf(all, board, title) + "&var-node=${__field.labels.instance}&${__url_time_range}"}}
	return p
}

func addressOf(all []*dashboard, board, title string) string {
	for _, d := range all {
		for _, p := range d.Panels {
			if d.UID == board && p.Title == title {
				return d.address(p)
			}
		}
	}
	panic(board + " has no panel " + title) // a test makes all dashboards
}

func (p *panel) tall() *panel {
	p.GridPos.H = height + heading
	return p
}

func (p *panel) beside() *panel {
	p.GridPos.W = half
	return p
}

// leftover colours the time that is left: an hour is less than a night.
func (p *panel) leftover() *panel {
	hour, hours := 3600.0, 4*3600.0
	p.FieldConfig.Defaults.Thresholds.Steps = []step{{Color: "red"}, {Color: "orange", Value: &hour}, {Color: "green", Value: &hours}}
	p.override(value, property{ID: "custom.cellOptions", Value: map[string]any{"type": "color-text"}})
	return p
}
