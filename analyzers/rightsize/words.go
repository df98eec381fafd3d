// SPDX-License-Identifier: Apache-2.0

package rightsize

import (
	"fmt"
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

const (
	// week and weekly are the days from which the busiest hour of each weekday is known,
	// and the confidence then; daily is that of less.
	week          = 7
	weekly, daily = 0.9, 0.7
)

func (s *size) confidence() float64 {
	if s.days() >= week {
		return weekly
	}
	return daily
}

// finding is ok if a request or limit is far from the right size.
func (s *size) finding(p *facts.Pass) (analysis.Finding, bool) {
	if !s.cpu.changes() && !s.memory.changes() {
		return analysis.Finding{}, false
	}
	cause := over
	if s.cpu.tooLow || s.memory.tooLow {
		cause = under
	}
	return analysis.Finding{
		Cause: cause, Severity: s.severity(p), Confidence: s.confidence(), Impact: s.impact(p), Subject: s.cgroup,
		Summary: s.summary(p), Evidence: s.evidence(), Recommendations: []analysis.Recommendation{s.recommendation(p)},
	}, true
}

// impact is the part of the host that is reserved for nothing, or the time lost.
func (s *size) impact(p *facts.Pass) float64 {
	impact := 0.0
	if cpus := p.CPUs(); s.cpu.tooHigh && cpus > 0 {
		impact = s.cpu.frees / cpus
	}
	if total := hostMemory(p); s.memory.tooHigh && total > 0 {
		impact = max(impact, s.memory.frees/total)
	}
	if s.cpu.tooLow {
		impact = max(impact, s.throttledMost)
	}
	return impact
}

func hostMemory(p *facts.Pass) float64 {
	node, _ := p.Node()
	total, _ := p.Last(catalog.MemoryTotal, node)
	return total
}

func (s *size) summary(p *facts.Pass) string {
	var parts []string
	if s.cpu.changes() {
		parts = append(parts, s.saysCPU())
	}
	if s.memory.changes() {
		parts = append(parts, s.saysMemory())
	}
	verdict := "has more than it uses"
	if s.cpu.tooLow || s.memory.tooLow {
		verdict = "has less than it needs"
	}
	return fmt.Sprintf("%s %s, over %s of history: %s", p.Name(s.cgroup), verdict, days(s.days()), strings.Join(parts, "; "))
}

// days formats the length of a history: 30 hours, 9 days.
func days(n float64) string {
	if n < 2 {
		return analysis.Number(24*n, "hour", "hours")
	}
	return analysis.Number(float64(int(n)), "day", "days")
}

// kind names what is set: request or limit.
func (r resource) kind() string {
	if r.request > 0 {
		return "request"
	}
	return "limit"
}

func (s *size) saysCPU() string {
	c := s.cpu
	if c.tooLow && s.throttledMost > 0 && c.limit > 0 && c.toLimit > c.limit {
		return fmt.Sprintf("its CPU limit is %s, and throttled it for up to %s of an hour", analysis.Cores(c.limit), analysis.Percent(min(1, s.throttledMost)))
	}
	busy := analysis.Cores(c.toRequest) + " hold the busiest five minutes of 95% of the hours"
	if c.request == 0 {
		busy = analysis.Cores(s.peak) + " are the most that it used"
	}
	return fmt.Sprintf("its CPU %s is %s, and %s", c.kind(), analysis.Cores(c.reserved()), busy)
}

func (s *size) saysMemory() string {
	m := s.memory
	text := fmt.Sprintf("its memory %s is %s, and %s are the most that it needed", m.kind(), analysis.Bytes(m.reserved()), analysis.Bytes(s.need))
	if s.kills > 0 {
		text += ", before " + analysis.Number(s.kills, "OOM kill", "OOM kills")
	}
	return text
}

func (s *size) evidence() []analysis.Evidence {
	top := 0.0
	for _, high := range s.highs {
		top = max(top, high)
	}
	e := []analysis.Evidence{
		{Metric: catalog.CgroupCPUTime, Label: "busiest five minutes", Value: top, Unit: observe.Cores},
		{Metric: catalog.CgroupCPUTime, Label: "busiest reading", Value: s.peak, Unit: observe.Cores},
	}
	if s.start > s.peak {
		e = append(e, analysis.Evidence{Metric: catalog.CgroupCPUTime, Label: "while it starts, left out", Value: s.start, Unit: observe.Cores})
	}
	set := func(m *observe.Metric, value, right float64, unit observe.Unit) {
		if value > 0 && right > 0 {
			e = append(e, analysis.Evidence{Metric: m, Value: value, Unit: unit, Bound: analysis.Bound(right)})
		}
	}
	set(catalog.KubeCPURequest, s.cpu.request, s.cpu.toRequest, observe.Cores)
	set(catalog.CgroupCPULimit, s.cpu.limit, s.cpu.toLimit, observe.Cores)
	if s.throttledMost > 0 {
		e = append(e, analysis.Evidence{Metric: catalog.CgroupThrottledS, Label: "worst hour", Value: s.throttledMost, Unit: observe.Ratio})
	}
	if s.need > 0 {
		e = append(e, analysis.Evidence{Metric: catalog.CgroupMemoryUsage, Label: "highest, without page cache", Value: s.need, Unit: observe.Bytes},
			analysis.Evidence{Metric: catalog.CgroupMemoryUsage, Label: "highest working set", Value: s.working, Unit: observe.Bytes})
	}
	set(catalog.KubeMemoryRequest, s.memory.request, s.memory.toRequest, observe.Bytes)
	set(catalog.CgroupMemoryLimit, s.memory.limit, s.memory.toLimit, observe.Bytes)
	return e
}

func (s *size) recommendation(p *facts.Pass) analysis.Recommendation {
	r := analysis.Recommendation{
		Verb:   analysis.SetRequests,
		Action: s.action(p),
		Verify: s.verify(p),
		Risk:   "a load that these " + days(s.days()) + " did not have, such as a month's end or a campaign, is throttled or killed",
		NotIf:  "a HorizontalPodAutoscaler scales it on CPU or memory: it then aims at a share of the new request",
	}
	if s.days() < week {
		r.Risk = "the history has " + days(s.days()) + ": a weekday that was not observed can need more"
	}
	switch {
	case s.memory.changes() && s.memory.defaultHeap:
		r.NotIf += "; or its maximum heap size follows the limit: set the heap size first"
	case s.memory.changes() && s.memory.heap:
		r.NotIf += "; or its heap never needs its maximum: lower the heap size first"
	}
	main := s.cpu
	r.Quantity = &analysis.Estimate{Value: main.to(), Unit: "cores"}
	if !s.cpu.changes() {
		main = s.memory
		r.Quantity = &analysis.Estimate{Value: main.to() / mib, Unit: "MiB"}
		main.low, main.high = main.low/mib, main.high/mib
	}
	r.Quantity.Low, r.Quantity.High = analysis.Bound(min(main.low, r.Quantity.Value)), analysis.Bound(max(main.high, r.Quantity.Value))
	r.Expect = s.expect()
	return r
}

const mib = 1 << 20

// expect names the setting that changes most.
func (s *size) expect() []analysis.Expectation {
	var e []analysis.Expectation
	add := func(r resource, request, limit *observe.Metric, unit observe.Unit) {
		if !r.changes() {
			return
		}
		m := limit
		if r.request > 0 {
			m = request
		}
		e = append(e, analysis.Expectation{Metric: m, From: r.reserved(), To: r.to(), Unit: unit})
	}
	add(s.cpu, catalog.KubeCPURequest, catalog.CgroupCPULimit, observe.Cores)
	add(s.memory, catalog.KubeMemoryRequest, catalog.CgroupMemoryLimit, observe.Bytes)
	return e
}

func (s *size) verify(p *facts.Pass) string {
	name := p.Name(s.cgroup)
	if s.cpu.changes() {
		return fmt.Sprintf("headroom.cgroup.cpu.throttled.time of %s stays below 1%%, and headroom.cgroup.memory.oom_kills does not grow", name)
	}
	return fmt.Sprintf("headroom.cgroup.memory.oom_kills of %s does not grow, and headroom.cgroup.memory.usage without page cache stays below %s", name, analysis.Bytes(s.need*nearLimit))
}
