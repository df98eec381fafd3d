// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/run"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/cmd/headroom/internal/host"
)

// askable holds the analyzers that could run at some time.
type askable map[*analysis.Analyzer]bool

// lost returns the number of analyzers that cannot run although this node can
// support them: they could run before, or one of their sources hangs or fails. If
// sources disagree (view), none of them is trusted, which says nothing about the
// node. docs/decisions/2026-11-28-readiness.md has the reasons.
func (can *askable) lost(r *analysis.Result, stats []run.Stats) int {
	if *can == nil {
		*can = make(askable)
	}
	for _, c := range r.Checked {
		if c.Subjects > 0 {
			(*can)[c.Analyzer] = true
		}
	}
	faulty := make(map[string]bool)
	for _, st := range stats {
		faulty[st.Name] = st.Faulty()
	}
	disagree := false
	for _, g := range r.Gaps {
		disagree = disagree || g.Source == observe.GapView
	}
	n := 0
	for _, a := range r.Sight.Unasked {
		if disagree || (*can)[a] || hasFaulty(r, a, faulty) {
			n++
		}
	}
	return n
}

// hasFaulty reports whether an analyzer misses a metric of a faulty source, or
// failed itself.
func hasFaulty(r *analysis.Result, a *analysis.Analyzer, faulty map[string]bool) bool {
	from := host.Sources(host.Samplers)
	skipped := false
	for _, s := range r.Skipped {
		if s.Analyzer != a {
			continue
		}
		skipped = true
		for _, metric := range s.Missing {
			if faulty[from[metric]] {
				return true
			}
		}
	}
	return !skipped
}
