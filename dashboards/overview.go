// SPDX-License-Identifier: Apache-2.0

package dashboards

import (
	"fmt"
	"strings"

	. "github.com/headroom-project/headroom/agent/catalog" //nolint:staticcheck // queries read as a table
	findings "github.com/headroom-project/headroom/analyzers/publish/prom"
)

// active leaves out findings that are over.
const active = `,state!="cleared"`

func overviewBoard(others []*dashboard) *dashboard {
	found := func(m, match string) string { return m + "{" + ofNode + active + match + "}" }
	count := func(severity string) string {
		return "sum(" + found(findings.Findings, `,severity="`+severity+`",symptom=""`) + ") or vector(0)"
	}
	near := func(title, description, expr, legend string) *panel {
		return graph(title, description, unitShare, query{top("10", expr), nodeName + " " + legend}).warn(0.7, 0.9)
	}
	return board("headroom-overview", "Overview", "What is found, and what is nearest to which limit.", []variable{chooseNode()},
		stat("Critical", "Findings, without those that another one explains.", unitCount, count("critical")).warn(1, 1),
		stat("Warnings", "Findings, without those that another one explains.", unitCount, count("warning")).warn(1, 10),
		stat("Questions not asked", "Analyzers that could not look at all or some subjects. Silence is not health.", unitCount, "count(max by (id) ("+findings.Skipped+"{"+ofNode+"})) or vector(0)").warn(1, 20),
		stat("Gaps", "Things that a source could not observe.", unitCount, "sum("+findings.Gaps+"{"+ofNode+"}) or vector(0)").warn(1, 20),
		table("Findings", "Share of the time or capacity that each subject loses. The id leads to the panel that shows it.", unitShare, linked(found(findings.Impact, ""), others)).linkIDs(),
		table("Running out", "Time that is left, where it can be told.", unitSeconds, linked(found(findings.Forecast, ""), others)).linkIDs(),
		near("CPU", "Share of all cores.", share(sum(perNode, rate(CPUUser, ofNode))+" + "+sum(perNode, rate(CPUSystem, ofNode)), highest(perNode, sel(CPUCount, ofNode))), ""),
		near("Memory", "Share that a new program cannot have.", "1 - "+share(lowest(perNode, sel(HostMemoryAvailable, ofNode)), highest(perNode, sel(MemoryTotal, ofNode))), ""),
		near("Event loops", "Share of the time in which they work.", share(sum(perProgram, rate(LoopBusy, ofNode)), sum(perProgram, rate(LoopBusy, ofNode))+" + "+sum(perProgram, rate(LoopWait, ofNode))), name),
		near("Descriptors", "Of the fullest process, against its limit.", share(highest(perProgram, sel(ProcessFDs, ofNode)), lowest(perProgram, sel(ProcessFDLimit, ofNode))), name),
		near("Memory limits", "Memory of containers against their limit.", share(highest(perCgroup, sel(CgroupMemoryUsage, ofNode)), lowest(perCgroup, sel(CgroupMemoryLimit, ofNode))), cgroupName),
		near("Throttling", "Share of periods in which the quota ran out.", share(sum(perCgroup, rate(CgroupThrottled, ofNode)), sum(perCgroup, rate(CgroupPeriods, ofNode))), cgroupName),
	)
}

// linked adds a label that says which panel shows a finding's numbers.
func linked(expr string, others []*dashboard) string {
	for _, d := range others {
		for _, p := range d.Panels {
			if len(p.explains) > 0 {
				expr = fmt.Sprintf(`label_replace(%s, "panel", %q, "id", %q)`, expr, d.address(p), strings.Join(p.explains, "|"))
			}
		}
	}
	return expr
}

// linkIDs makes the column id a link to that panel.
func (p *panel) linkIDs() *panel {
	p.FieldConfig.Overrides = append(p.FieldConfig.Overrides, override{
		Matcher:    matcher{ID: "byName", Options: "id"},
		Properties: []property{{ID: "links", Value: []link{{Title: "Show the numbers", URL: "/d/${__data.fields.panel:raw}&var-node=${__data.fields.instance:percentencode}&${__url_time_range}"}}}},
	})
	return p
}
