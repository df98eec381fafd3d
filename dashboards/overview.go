// SPDX-License-Identifier: Apache-2.0

package dashboards

import (
	. "github.com/headroom-project/headroom/agent/catalog" //nolint:staticcheck // queries read as a table
	findings "github.com/headroom-project/headroom/analyzers/publish/prom"
)

// active leaves out resolved findings.
const active = `,state!="cleared"`

// ofCgroups selects those of the whole node.
var ofCgroups = ofNode + "," + noParents

func overviewBoard(others []*dashboard) *dashboard {
	found := func(m, match string) string { return m + "{" + ofNode + active + match + "}" }
	count := func(severity string) string {
		return "sum(" + findings.Findings + "{" + ofNode + `,state="firing",severity="` + severity + `",symptom=""}) or vector(0)`
	}
	near := func(title, description, legend, board, graph, expr string) *panel {
		return bars(title, description, unitShare, query{top("8", expr), legend}).warn(0.7, 0.9).most(1).overTime(others, board, graph)
	}
	return board("headroom-overview", "Overview", "Findings, and the resources nearest to their limits.", []variable{chooseNode()},
		stat("Critical", "Critical findings that fire. Symptoms of other findings are not counted.", unitCount, count("critical")).warn(1, 1),
		stat("Warnings", "Warnings that fire. Symptoms of other findings are not counted.", unitCount, count("warning")).warn(1, 10),
		stat("Analyzers skipped", "Analyzers that could not check all or some subjects. No finding from them does not mean healthy.", unitCount, "count(max by (id) ("+findings.Skipped+"{"+ofNode+"})) or vector(0)").warn(1, 20),
		stat("Gaps", "Blind spots: what the agent's sources could not observe.", unitCount, "sum("+findings.Gaps+"{"+ofNode+"}) or vector(0)").warn(1, 20),
		findingsTable("Findings", "Current findings. A finding links to the panel with its numbers, a cause to the runbook. A symptom resolves with the finding in the column \"Symptom of\".",
			unitShare, ranked(found(findings.Impact, "")), others,
			severity(), column{"category", "Category", 95, nil}, finding(), cause(), column{"subject", "Subject", 0, nil}, column{value, "Impact", 95, nil}, column{"state", "State", 75, nil},
			column{container, "Container", 120, nil}, column{service, "Service", 100, nil}, column{pod, "Pod", 100, nil}, column{namespace, "Namespace", 90, nil},
			column{instance, "Node", 100, nil}, column{"symptom", "Symptom of", 140, nil}).sorted(order("Severity", false), order("Impact", true)).tall(),
		graph("Findings over time", "Number of findings that fire. Symptoms of other findings are not counted.", unitCount,
			query{sum(by("category", "id"), found(findings.Findings, `,state="firing",symptom=""`)), "{{category}}: {{id}}"}).stacked().whole(),
		findingsTable("Time to exhaustion", "Time until a resource reaches its limit, where the agent can forecast it.", unitSeconds, ranked(found(findings.Forecast, "")), others,
			column{value, "Time left", 90, nil}, finding(), column{"subject", "Subject", 90, nil}, column{container, "Container", 110, nil}, column{instance, "Node", 80, nil},
			column{"what", "Resource", 0, nil}).sorted(order("Time left", false)).beside().leftover(),
		near("CPU utilization", "CPU time divided by the number of cores.", nodeName, "headroom-node", "CPU usage by mode",
			"clamp_max("+share(sum(perNode, rate(CPUUser, ofNode))+" + "+sum(perNode, rate(CPUSystem, ofNode)), highest(perNode, sel(CPUCount, ofNode)))+", 1)"),
		near("Memory utilization", "Share of memory that is not available to new programs.", nodeName, "headroom-node", "Memory",
			"1 - "+share(lowest(perNode, sel(HostMemoryAvailable, ofNode)), highest(perNode, sel(MemoryTotal, ofNode)))),
		near("Event loop utilization", "Share of time in which event loops were in a tick. Programs that ran only briefly are left out.", nodeName+" "+name, "headroom-service", "Event loop utilization",
			loopShare(ofNode)),
		near("File descriptors", "Highest number of open file descriptors divided by the lowest soft limit, per program.", nodeName+" "+name, "headroom-service", "File descriptor utilization",
			share(highest(perProgram, sel(ProcessFDs, ofNode)), lowest(perProgram, sel(ProcessFDLimit, ofNode)))),
		near("Memory limits", "Memory usage of containers without inactive page cache, divided by the memory limit.", nodeName+" "+cgroupName, "headroom-containers", "Memory limit utilization",
			share(sum(perCgroup, sel(CgroupMemoryUsage, ofCgroups))+" - "+sum(perCgroup, sel(CgroupMemoryInactiveFile, ofCgroups)), lowest(perCgroup, sel(CgroupMemoryLimit, ofCgroups)))),
		near("CPU throttling", "Share of the CFS periods in which the quota ran out.", nodeName+" "+cgroupName, "headroom-containers", "CPU throttled periods",
			share(sum(perCgroup, rate(CgroupThrottled, ofCgroups)), sum(perCgroup, rate(CgroupPeriods, ofCgroups)))),
	)
}

// overTime links a bar to the graph that shows it over time.
func (p *panel) overTime(all []*dashboard, board, title string) *panel {
	p.FieldConfig.Defaults.Links = []link{{Title: "Show over time", URL: "/d/" + addressOf(all, board, title) + "&var-node=${__field.labels.instance}&${__url_time_range}"}}
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

// leftover returns colours for the time left: less than an hour, less than a night.
func (p *panel) leftover() *panel {
	hour, hours := 3600.0, 4*3600.0
	p.FieldConfig.Defaults.Thresholds.Steps = []step{{Color: "red"}, {Color: "orange", Value: &hour}, {Color: "green", Value: &hours}}
	p.override(value, property{ID: "custom.cellOptions", Value: map[string]any{"type": "color-text"}})
	return p
}
