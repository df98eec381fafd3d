// SPDX-License-Identifier: Apache-2.0

// Package rightsize computes CPU and memory requests and limits of containers and
// services from what they used in the hours of the history.
package rightsize

import (
	_ "embed"
	"fmt"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

//go:embed doc.md
var doc string

// Analyzer is right-size.
var Analyzer = &analysis.Analyzer{
	Name:     "right-size",
	Title:    "Do requests and limits fit what a container or service uses?",
	Doc:      doc,
	Category: analysis.CategoryContainers,
	Causes:   []string{over, under},
	Verbs:    []analysis.Verb{analysis.SetRequests},
	Needs:    []*observe.Metric{catalog.CgroupCPUTime},
	Wants: []*observe.Metric{catalog.CgroupMemoryUsage, catalog.CgroupMemoryFile, catalog.CgroupMemoryShmem, catalog.CgroupMemoryInactiveFile,
		catalog.CgroupCPULimit, catalog.CgroupCPUPeriod, catalog.CgroupMemoryLimit, catalog.KubeCPURequest, catalog.KubeMemoryRequest,
		catalog.CgroupThrottledS, catalog.CgroupThrottled, catalog.CgroupPeriods, catalog.CgroupOOMKills, catalog.CgroupMaxEvents,
		catalog.ProcessHeapLimit, catalog.ProcessHeapLimitDefault, catalog.RequestArrivals, catalog.RequestDuration, catalog.ProcessCPU, catalog.MemoryTotal},
	Params: []*analysis.Param{leastHistory, overShare, leastCores, leastMemory, underShare, throttledHour, nodeShare},
	Run:    facts.Run(run),
}

// Causes.
const (
	over  = "over-provisioned"
	under = "under-provisioned"
)

var (
	leastHistory = &analysis.Param{Name: "least-history", Unit: observe.Seconds, Default: 24 * 3600,
		Doc: "Time of observation below which no size is given: a day has its busiest hour. A busier day of the week can still follow, so that confidence is full from seven days on."}
	overShare = &analysis.Param{Name: "over", Unit: observe.Ratio, Default: 2, Enters: true,
		Doc: "A request or limit of this many times the right size is too high: half of it is never used. Limits that people set by hand have 46 % of slack on average (Autopilot)."}
	leastCores = &analysis.Param{Name: "least-cores", Unit: observe.Cores, Default: 0.25, Enters: true,
		Doc: "Cores that a smaller size must free: less does not make room for another instance."}
	leastMemory = &analysis.Param{Name: "least-memory", Unit: observe.Bytes, Default: 256 << 20, Enters: true,
		Doc: "Memory that a smaller size must free."}
	underShare = &analysis.Param{Name: "under", Unit: observe.Ratio, Default: 1.1, Enters: true,
		Doc: "Use of this many times the request, in more than one of twenty hours for CPU or once for memory, is a request that is too low: the scheduler fills a node by requests, and a node that runs out of memory evicts first what uses more than its request."}
	throttledHour = &analysis.Param{Name: "throttled-hour", Unit: observe.Ratio, Default: 0.01, Enters: true,
		Doc: "Share of an hour for which throttling makes a limit too low, as in cpu-throttled."}
	nodeShare = &analysis.Param{Name: "node-share", Unit: observe.Ratio, Default: 0.25, Enters: true,
		Doc: "Part of the CPUs or of the memory of a host that right sizes must free together to be reported about the host: a quarter makes room for other services."}
)

func run(p *facts.Pass) []analysis.Finding {
	if !p.Remembers() {
		p.Skip("it needs a day of history, which only the agent has")
		return nil
	}
	var fs []analysis.Finding
	var all []size
	var left leftOut
	for cgroup := range p.Entities(catalog.CgroupCPUTime) {
		u, ok := usedBy(p, cgroup)
		if !ok {
			continue
		}
		if u.seconds < p.Param(leastHistory) {
			left.add(u.seconds)
			continue
		}
		p.Checked()
		s := sizeOf(p, cgroup, u)
		all = append(all, s)
		if f, ok := s.finding(p); ok {
			fs = append(fs, f)
		}
	}
	left.skip(p)
	if f, ok := sum(p, all); ok {
		fs = append(fs, f)
	}
	return fs
}

// leftOut counts workloads whose history is too short.
type leftOut struct {
	n       int
	longest float64
}

func (l *leftOut) add(seconds float64) { l.n, l.longest = l.n+1, max(l.longest, seconds) }

func (l *leftOut) skip(p *facts.Pass) {
	if l.n == 0 {
		return
	}
	p.Skip(fmt.Sprintf("%s observed for less than %s, the longest for %s",
		analysis.Number(float64(l.n), "container or service was", "containers and services were"),
		analysis.Ahead(p.Param(leastHistory)), analysis.Ahead(l.longest)))
}
