// SPDX-License-Identifier: Apache-2.0

package hostsaturated

import (
	"fmt"
	"math"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

var (
	lowMemory = &analysis.Param{Name: "low-memory", Unit: observe.Ratio, Default: 0.10,
		Doc: "Share of the memory that is still available (MemAvailable) below which the host is short of memory: Netdata warns there. Page cache counts as available."}
	warnMemoryPressure = &analysis.Param{Name: "warn-memory-pressure", Unit: observe.Ratio, Default: 0.10, Enters: true,
		Doc: "Share of the window in which at least one task waited for memory (PSI memory some): between the target of senpai (0.2 %) and the limit of systemd-oomd (60 % of full)."}
	fullMemoryPressure = &analysis.Param{Name: "full-memory-pressure", Unit: observe.Ratio, Default: 0.05,
		Doc: "PSI memory full: the share in which every task that had work waited for memory. Critical from here on."}
	warnReclaim = &analysis.Param{Name: "warn-reclaim", Unit: "{page}", Default: 1000, Enters: true,
		Doc: "Pages per second that tasks scanned themselves for free memory, where PSI is not available: 4 MB/s that kswapd did not free in time."}
)

// runMemory evaluates the cause memory.
func runMemory(p *facts.Pass, node observe.ID) []analysis.Finding {
	total, sized := p.Last(catalog.MemoryTotal, node)
	available, known := p.Last(catalog.HostMemoryAvailable, node)
	if !sized || !known || total <= 0 {
		p.Skip("the memory of the host was not observed", catalog.MemoryTotal, catalog.HostMemoryAvailable)
		return nil
	}
	if low, _, ok := p.Range(catalog.HostMemoryAvailable, node); ok {
		available = low
	}
	m := shortage{node: node, total: total, available: available}
	m.look(p)
	if severity := m.severity(p); severity > analysis.Healthy {
		return []analysis.Finding{m.finding(p, severity)}
	}
	return nil
}

// A shortage holds the state of the host's memory. Rates are per second.
type shortage struct {
	node             observe.ID
	total, available float64 // bytes; available is the minimum in the window
	some, full       float64
	pressed          bool
	// reclaim is how many pages tasks scanned themselves, freed how many of them they
	// could free; counted is set if the latter is known.
	reclaim, freed  float64 // pages
	counted         bool
	swapIn, swapOut float64 // pages
	swapped         float64 // bytes in swap
	// disk is the share of the window in which tasks waited for disks to read pages
	// back from swap.
	disk float64
}

func (m *shortage) look(p *facts.Pass) {
	m.some, m.pressed = p.Rate(catalog.HostMemorySome, m.node)
	m.full, _ = p.Rate(catalog.HostMemoryFull, m.node)
	m.reclaim, _ = p.Rate(catalog.HostDirectReclaim, m.node)
	m.freed, m.counted = p.Rate(catalog.HostDirectlyFreed, m.node)
	m.swapIn, _ = p.Rate(catalog.HostSwapIn, m.node)
	m.swapOut, _ = p.Rate(catalog.HostSwapOut, m.node)
	m.swapped, _ = p.Last(catalog.HostSwapUsed, m.node)
	io, _ := p.Rate(catalog.HostIOSome, m.node)
	m.disk = min(io, m.swapIn*p.DiskReads().PerPage())
}

// waited is the share of the window in which tasks waited. Pages read back from
// swap count as memory in PSI only if they had been active when they were swapped
// out (workingset_refault in mm/workingset.c), otherwise as disk: a host that has
// just swapped out pages that its programs need shows only the latter.
func (m *shortage) waited() float64 { return max(m.some, m.disk) }

// short distinguishes a host without memory from a cgroup at its limit, whose tasks
// are part of the host's PSI too. pgscan_direct counts only reclaim for the host,
// not for a cgroup (shrink_inactive_list in mm/vmscan.c).
func (m *shortage) short(p *facts.Pass) bool {
	return m.available <= p.Param(lowMemory)*m.total || m.searches(p) && m.available <= searched*m.total
}

// searched is the maximum share of available memory while tasks search for pages:
// available memory may be dirty, or in the wrong zone.
const searched = 0.25

// searches reports whether tasks that reclaim find few pages, or pages that are
// needed again. A program that reads a large file once frees its own old pages at
// the first try, which takes a while too.
func (m *shortage) searches(p *facts.Pass) bool {
	return m.reclaim > 0 && (!m.counted || m.freed < found*m.reclaim || m.disk >= p.Param(warnMemoryPressure))
}

// found is the share of scanned pages that are freed below which tasks search.
const found = 0.5

func (m *shortage) severity(p *facts.Pass) analysis.Severity {
	switch {
	case !m.short(p):
		return analysis.Healthy
	case !m.pressed && m.reclaim >= p.Param(warnReclaim):
		return analysis.Warning
	case m.full >= p.Param(fullMemoryPressure):
		return analysis.Critical
	case m.waited() >= p.Param(warnMemoryPressure):
		return analysis.Warning
	}
	return analysis.Healthy
}

func (m *shortage) finding(p *facts.Pass, severity analysis.Severity) analysis.Finding {
	const counted, guessed = 0.9, 0.6
	f := analysis.Finding{
		Cause: memory, Severity: severity, Confidence: counted,
		Impact:          min(1, m.waited()),
		Subject:         m.node,
		Summary:         m.summary(p),
		Evidence:        m.evidence(p),
		Blame:           blame(p, memoryUsers(p), m.total),
		Recommendations: []analysis.Recommendation{m.moreNodes(p)},
	}
	if !m.pressed {
		f.Confidence, f.Impact = guessed, p.Param(warnMemoryPressure)
	}
	return f
}

func (m *shortage) summary(p *facts.Pass) string {
	text := fmt.Sprintf("%s is out of memory: %s of %s are left", p.Name(m.node), analysis.Bytes(m.available), analysis.Bytes(m.total))
	switch {
	case m.disk > m.some:
		text += fmt.Sprintf(", tasks wait for pages in swap %s of the time", analysis.Percent(m.disk))
	case m.pressed:
		text += fmt.Sprintf(", tasks wait for memory %s of the time", analysis.Percent(m.some))
	}
	if pages := m.swapIn + m.swapOut; pages >= 1 {
		text += fmt.Sprintf("; %.0f pages per second are swapped in or out", pages)
	}
	return text
}

func (m *shortage) evidence(p *facts.Pass) []analysis.Evidence {
	e := []analysis.Evidence{
		{Metric: catalog.HostMemoryAvailable, Label: "least", Value: m.available, Unit: observe.Bytes, Bound: analysis.Bound(p.Param(lowMemory) * m.total)},
	}
	if m.pressed {
		e = append(e,
			analysis.Evidence{Metric: catalog.HostMemorySome, Label: "share of the window", Value: m.some, Unit: observe.Ratio, Bound: analysis.Bound(p.Param(warnMemoryPressure))},
			analysis.Evidence{Metric: catalog.HostMemoryFull, Label: "share of the window", Value: m.full, Unit: observe.Ratio, Bound: analysis.Bound(p.Param(fullMemoryPressure))})
	}
	e = append(e, analysis.Evidence{Metric: catalog.HostDirectReclaim, Label: "per second", Value: m.reclaim, Unit: "{page}"})
	if m.disk > 0 {
		e = append(e, analysis.Evidence{Metric: catalog.HostIOSome, Label: "for swap", Value: m.disk, Unit: observe.Ratio, Bound: analysis.Bound(p.Param(warnMemoryPressure))})
	}
	if m.swapIn > 0 {
		e = append(e, analysis.Evidence{Metric: catalog.HostSwapIn, Label: "per second", Value: m.swapIn, Unit: "{operation}"})
	}
	return e
}

const (
	// plannedMemory is the share of a node's memory to plan for: the rest is for
	// peaks, page cache and the kernel.
	plannedMemory = 0.8
	// pageBytes is the smallest page size of any machine, so a lower bound for values
	// in pages.
	pageBytes = 4096
)

// nodes returns how many more nodes are needed for the memory that cannot be
// reclaimed and for swap in use. Pages read again in the window would also have
// stayed in memory; there may be more of them, so there is no upper bound.
func (m *shortage) nodes(p *facts.Pass) *analysis.Estimate {
	more := func(bytes float64) float64 { return max(1, math.Ceil(bytes/(plannedMemory*m.total))-1) }
	need := m.total - m.available + m.swapped
	low := more(need)
	value := more(need + p.IncreaseOr0(catalog.HostThrash, m.node)*pageBytes)
	return &analysis.Estimate{Value: value, Low: &low, Unit: "nodes"}
}

func (m *shortage) moreNodes(p *facts.Pass) analysis.Recommendation {
	n := m.nodes(p)
	need := m.total - m.available + m.swapped
	return analysis.Recommendation{
		Verb: analysis.AddNodes, Quantity: n,
		Action: fmt.Sprintf("Add %s like %s and spread over them the %s that its programs hold; or give it %s of memory", analysis.Number(n.Value, "node", "nodes"),
			p.Name(m.node), analysis.Bytes(need), analysis.Bytes(need/plannedMemory)),
		Verify: fmt.Sprintf("headroom.host.pressure of memory on %s falls below %s, and %s stay available", p.Name(m.node), analysis.Percent(p.Param(warnMemoryPressure)), analysis.Percent(p.Param(lowMemory))),
		Risk:   "a database behind it gets more connections",
		NotIf:  "one program leaks (memory-growth names it): more memory then only takes longer to fill",
		Expect: []analysis.Expectation{{Metric: catalog.HostMemoryAvailable, Label: "least", From: m.available, To: max(m.available, m.total-need/(1+n.Value)), Unit: observe.Bytes}},
	}
}
