// SPDX-License-Identifier: Apache-2.0

// Package facts derives from a window what several analyzers ask for: event loops,
// CPU cores and quotas, the processes that had a CPU, memory, disks and file
// descriptors. An analyzer that needs it is declared with Run: facts.Run(run), and its
// run takes a *facts.Pass, which is an [analysis.Pass] with these methods.
//
// Facts have no thresholds and no findings. What is for one analyzer stays in its
// folder, and formulas without a window are in package capacity.
package facts

import (
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

// A Pass is an analysis.Pass with the facts that its window holds.
type Pass struct {
	*analysis.Pass
	memo memo
}

// Of returns the facts of a pass.
func Of(p *analysis.Pass) *Pass { return &Pass{Pass: p} }

// Run returns f as the Run of an analyzer.
func Run(f func(*Pass) []analysis.Finding) func(*analysis.Pass) []analysis.Finding {
	return func(p *analysis.Pass) []analysis.Finding { return f(Of(p)) }
}

// A memo keeps what one pass would otherwise compute for each subject.
type memo struct {
	looked bool
	loops  []*LoopView
	// threads are the cores that each thread of a cgroup, or of one below it,
	// used.
	threads map[observe.ID][]float64
	// steal is asked for once for each loop and each group of processes.
	steal     float64
	stealRead bool
}
