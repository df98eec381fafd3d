// SPDX-License-Identifier: Apache-2.0

package hostsaturated

import (
	"fmt"
	"slices"
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/capacity"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// A batch is work that no client waits for, on a host that services share. To limit it
// costs less than another node.
type batch struct {
	jobs []user
	use  float64 // cores
	// limit is how many cores are left for it if the host is used as planned.
	limit float64
}

// findBatch returns the largest jobs whose limit would bring the host down to the planned
// utilisation; ok is false if there are none, or if no service shares the host.
func (s state) findBatch(p *facts.Pass, all []user) (b batch, ok bool) {
	planned := facts.PlannedUtilisation * s.cpus
	others, services := s.busy*s.cpus, 0.0
	for _, u := range all {
		if isService(p, u) {
			services += u.has
		} else if b.limit < capacity.LeastCap {
			b.jobs = append(b.jobs, u)
			b.use += u.has
			others -= u.has
			b.limit = capacity.FloorTo(planned-others, capacity.LeastCap)
		}
	}
	return b, b.limit >= capacity.LeastCap && services >= leastShare*s.cpus
}

// isService reports whether a client waits for a user, or whether that is not known.
func isService(p *facts.Pass, u user) bool {
	return slices.ContainsFunc(u.processes, func(process observe.ID) bool {
		return p.AudienceOf(process) != facts.NoAudience || p.Attr(process, catalog.AttrKernelThread) == "true"
	})
}

// limitBatch is the recommendation for a host that is not full without a batch job.
func (s state) limitBatch(p *facts.Pass, node observe.ID, b batch) analysis.Recommendation {
	var names []string
	for _, u := range b.jobs {
		names = append(names, p.Name(p.Group(u.processes)))
	}
	name, it, them := names[0], "it", "its result is"
	if len(names) > 1 {
		name = strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1] + " together"
		it, them = "them", "their results are"
	}
	to := s.busy - (b.use-b.limit)/s.cpus
	nodes := "nodes"
	if n := p.MoreNodes(); n != nil {
		nodes = analysis.Number(n.Value, "node", "nodes")
	}
	return analysis.Recommendation{
		Verb:     analysis.CapNeighbour,
		Quantity: &analysis.Estimate{Value: b.limit, High: &b.limit, Unit: "cores"},
		Action: fmt.Sprintf("Limit %s to %s, from %s (cpu.max, or a lower cpu.weight): no client waits for %s, and without the rest %s is %s busy",
			name, analysis.Cores(b.limit), analysis.Cores(b.use), it, p.Name(node), analysis.Percent(to)),
		// Not the pressure: tasks that cpu.max holds back count as waiting.
		Verify: fmt.Sprintf("system.cpu.time of mode idle on %s rises above %s", p.Name(node), analysis.Percent(1-p.Param(fullHost))),
		Risk:   "what is limited takes longer; services that were held back may need more than they had, and the limit less",
		NotIf:  fmt.Sprintf("%s needed in time: then add %s like %s", them, nodes, p.Name(node)),
		Expect: []analysis.Expectation{{Metric: catalog.CPUIdle, Label: "host busy", From: s.busy, To: to, Unit: observe.Ratio}},
	}
}
