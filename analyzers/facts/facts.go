// SPDX-License-Identifier: Apache-2.0

// Package facts derives from a window what several analyzers need: event loops, CPU
// cores and quotas, the processes that had a CPU, memory, disks and file
// descriptors. An analyzer that uses it is declared with Run: facts.Run(run), and
// its run takes a *facts.Pass, which is an [analysis.Pass] with these methods.
//
// Facts have no thresholds and no findings. Code for a single analyzer stays in its
// folder, and formulas without a window are in package capacity.
package facts

import (
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

// A Pass is an analysis.Pass with facts about its window.
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

// A memo caches what one pass would otherwise compute for each subject.
type memo struct {
	looked bool
	loops  []*LoopView
	// listening is nil until it is needed.
	listening listeners
	// threads holds the cores that each thread of a cgroup and its descendants used.
	threads map[observe.ID][]float64
	// steal is needed for each loop and each group of processes.
	steal     float64
	stealRead bool
	// repeats is needed for each process that could have a finding.
	repeats     []*Repeat
	repeatsRead bool
}
