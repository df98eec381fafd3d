// SPDX-License-Identifier: Apache-2.0

package rightsize

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// A total is what the right sizes of the workloads of a host free together. Those that
// need more count against it.
type total struct {
	workloads           int
	cores, memory       float64
	reserved, remembers float64 // cores and bytes that are reserved now
	cpus, whole         float64 // of the host
	least               float64 // days of the shortest history
}

// sum is ok if the sizes free a large part of the host. A single workload has its own
// finding.
func sum(p *facts.Pass, all []size) (analysis.Finding, bool) {
	t := total{cpus: p.CPUs(), whole: hostMemory(p)}
	var freeing []size
	for _, s := range all {
		if s.cpu.reserved() == 0 && s.memory.reserved() == 0 {
			continue
		}
		t.workloads++
		t.cores, t.memory = t.cores+s.cpu.frees, t.memory+s.memory.frees
		t.reserved, t.remembers = t.reserved+s.cpu.reserved(), t.remembers+s.memory.reserved()
		if t.least == 0 || s.days() < t.least {
			t.least = s.days()
		}
		if s.share(t) > 0 {
			freeing = append(freeing, s)
		}
	}
	node, ok := p.Node()
	if !ok || len(freeing) < 2 || t.share() < p.Param(nodeShare) {
		return analysis.Finding{}, false
	}
	slices.SortStableFunc(freeing, func(a, b size) int { return cmp.Compare(b.share(t), a.share(t)) })
	return t.finding(p, node, freeing), true
}

// share returns the part of the host that the sizes free: of the resource of which they
// free more.
func (t total) share() float64 {
	share := 0.0
	if t.cpus > 0 {
		share = t.cores / t.cpus
	}
	if t.whole > 0 {
		share = max(share, t.memory/t.whole)
	}
	return share
}

func (s *size) share(t total) float64 {
	return total{cores: s.cpu.frees, memory: s.memory.frees, cpus: t.cpus, whole: t.whole}.share()
}

func (t total) finding(p *facts.Pass, node observe.ID, freeing []size) analysis.Finding {
	confidence := daily
	if t.least >= week {
		confidence = weekly
	}
	freed := fmt.Sprintf("%s and %s", analysis.Cores(max(0, t.cores)), analysis.Bytes(max(0, t.memory)))
	f := analysis.Finding{
		Cause: over, Severity: analysis.Info, Confidence: confidence, Impact: min(1, t.share()), Subject: node,
		Summary: fmt.Sprintf("%s has %s and %s reserved for %s; right sizes free %s, or %.1f of such a node",
			p.Name(node), analysis.Cores(t.reserved), analysis.Bytes(t.remembers), analysis.Number(float64(t.workloads), "container or service", "containers and services"), freed, t.share()),
		Evidence: []analysis.Evidence{
			{Metric: catalog.KubeCPURequest, Label: "freed", Value: t.cores, Unit: observe.Cores},
			{Metric: catalog.KubeMemoryRequest, Label: "freed", Value: t.memory, Unit: observe.Bytes},
		},
	}
	var names []string
	for _, s := range freeing[:min(analysis.MaxBlame, len(freeing))] {
		names = append(names, fmt.Sprintf("%s (%s, %s)", p.Name(s.cgroup), analysis.Cores(max(0, s.cpu.frees)), analysis.Bytes(max(0, s.memory.frees))))
		f.Blame = append(f.Blame, analysis.Blame{Subject: s.cgroup, Share: min(1, s.share(t)/t.share())})
	}
	f.Recommendations = []analysis.Recommendation{{
		Verb: analysis.SetRequests, Quantity: &analysis.Estimate{Value: max(0, t.cores), Unit: "cores"},
		Action: fmt.Sprintf("Set the right sizes of the workloads of %s, starting with those that free most: %s", p.Name(node), analysis.List(names)),
		Verify: fmt.Sprintf("k8s.container.cpu.request or headroom.cgroup.cpu.limit, added up over %s, falls by %s", p.Name(node), analysis.Cores(max(0, t.cores))),
		Risk:   fmt.Sprintf("the shortest history has %s: what was not observed can need more", days(t.least)),
		NotIf:  "the reserve is there for the load of another node that fails",
		Expect: []analysis.Expectation{{Metric: catalog.KubeCPURequest, Label: "added up", From: t.reserved, To: t.reserved - t.cores, Unit: observe.Cores}},
	}}
	return f
}
