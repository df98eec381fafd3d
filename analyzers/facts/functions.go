// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

// enoughSampled is the time of samples, in seconds, from which functions are named: three
// samples of the clock.
const enoughSampled = 0.03

// covered is the part of the time on the CPU and blocked that must have samples: an agent
// does not sample what blocks before it has seen that something blocks.
const covered = 0.3

// Functions returns the functions of the program that a loop's long ticks were in, the
// largest share of the samples first; nil if too few were taken.
func (p *Pass) Functions(l *LoopView) []analysis.Culprit {
	total, ok := p.Increase(catalog.LongSampled, l.ID)
	if !ok || total < max(enoughSampled, covered*(l.Long.CPU+l.Long.Blocked)) {
		return nil
	}
	var all []analysis.Culprit
	for _, peer := range p.Peers(catalog.LongIn, l.ID) { // the largest first
		c := p.culpritOf(peer.ID)
		c.Share = min(1, peer.Value/total)
		at := slices.IndexFunc(all, func(o analysis.Culprit) bool { return o.Frames[0] == c.Frames[0] })
		if at < 0 {
			all = append(all, c)
			continue
		}
		all[at].Share = min(1, all[at].Share+c.Share)
	}
	slices.SortStableFunc(all, func(a, b analysis.Culprit) int { return cmp.Compare(b.Share, a.Share) })
	return all
}

// culpritOf returns what is known of a Code entity.
func (p *Pass) culpritOf(id observe.ID) analysis.Culprit {
	frame := func(function, file, line string) analysis.Frame {
		n, _ := strconv.Atoi(p.Attr(id, line))
		return analysis.Frame{Function: p.Attr(id, function), File: p.Attr(id, file), Line: n}
	}
	c := analysis.Culprit{Frames: []analysis.Frame{frame(catalog.AttrFunction, catalog.AttrCodeFile, catalog.AttrLine)}, Uses: p.Attr(id, catalog.AttrUses)}
	if caller := frame(catalog.AttrCaller, catalog.AttrCallerFile, catalog.AttrCallerLine); caller.File != "" {
		c.Frames = append(c.Frames, caller)
	}
	return c
}

// FunctionName names a function: `login` at auth.js:42.
func FunctionName(f analysis.Frame) string {
	where := path.Base(f.File)
	if f.Line > 0 {
		where = fmt.Sprintf("%s:%d", where, f.Line)
	}
	switch {
	case f.Function != "":
		return fmt.Sprintf("`%s` at %s", f.Function, where)
	case f.Line > 0:
		return "an anonymous function at " + where
	}
	return "code in " + where
}
