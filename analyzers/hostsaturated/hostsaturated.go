// SPDX-License-Identifier: Apache-2.0

// Package hostsaturated finds hosts whose CPUs or memory are in use while tasks
// wait for them, and the number of additional hosts that the work needs.
package hostsaturated

import (
	_ "embed"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

//go:embed doc.md
var doc string

// Analyzer is host-saturated.
var Analyzer = &analysis.Analyzer{
	Name:     "host-saturated",
	Title:    "Is the host out of CPU or memory?",
	Doc:      doc,
	Category: analysis.CategoryCapacity,
	Causes:   []string{cpu, memory},
	Verbs:    []analysis.Verb{analysis.AddNodes, analysis.CapNeighbour},
	Needs:    []*observe.Metric{catalog.CPUIdle, catalog.HostMemoryAvailable},
	OneOf:    true,
	Wants: []*observe.Metric{catalog.HostCPUSome, catalog.CPUSteal, catalog.CPUIOWait, catalog.RunQueueDelay, catalog.ProcessRuns,
		catalog.ProcessRunQueue, catalog.ProcessCPU, catalog.ProcessMemory, catalog.ProcessListens, catalog.ProcessAccepted, catalog.CPUCount, catalog.ProcessAffinity, catalog.LoopLag,
		catalog.MemoryTotal, catalog.HostMemorySome, catalog.HostMemoryFull, catalog.HostDirectReclaim, catalog.HostDirectlyFreed,
		catalog.HostSwapIn, catalog.HostSwapOut, catalog.HostSwapUsed, catalog.HostThrash, catalog.HostIOSome,
		catalog.DiskReads, catalog.DiskRead, catalog.DiskReadTime,
		catalog.StatementCalls, catalog.RequestDuration, catalog.RequestArrivals},
	Params: []*analysis.Param{fullHost, warnPressure, criticalPressure, warnDelay, feltDelay, warnSteal,
		lowMemory, warnMemoryPressure, fullMemoryPressure, warnReclaim},
	SymptomOf:  []string{workerCount, nPlusOne},
	MinSeconds: 300,
	Slow:       true,
	Run:        facts.Run(run),
}

// Causes.
const (
	cpu    = "cpu"
	memory = "memory"
)

func run(p *facts.Pass) []analysis.Finding {
	node, ok := p.Node()
	if !ok {
		return nil
	}
	p.Checked()
	return append(runCPU(p, node), runMemory(p, node)...)
}
