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

const (
	// enoughSampled is the time of samples of long ticks, in seconds, from which functions
	// are named: three samples of the clock.
	enoughSampled = 0.03
	// enoughCollected is that from which the share of the collector is used: 20 samples, of
	// which a third is within 20 points (95 %) of its share of the time.
	enoughCollected = 0.2
	// enoughBusy is that of a busy thread: 50 samples, of which a third is within 13 points
	// (95 %) of its share of the time.
	enoughBusy = 2
	// covered is the part of the time that must have samples: an agent does not sample what
	// blocks before it has seen that something blocks, nor a thread before it is busy.
	covered = 0.3
)

// Functions returns the functions of the program that a loop's long ticks were in, the
// largest share of the samples first; nil if too few were taken.
func (p *Pass) Functions(l *LoopView) []analysis.Culprit {
	if _, sampled := p.Increase(catalog.LongSampled, l.ID); !sampled && l.LongTicks == 0 && l.Current > 0 {
		return p.BusyFunctions(l) // a tick that began before headroom did: its start is not known in the kernel
	}
	return p.functions(l.ID, catalog.LongSampled, catalog.LongIn, leastOf(l))
}

// leastOf returns the time of samples of long ticks, in seconds, from which they are used.
func leastOf(l *LoopView) float64 { return max(enoughSampled, covered*(l.Long.CPU+l.Long.Blocked)) }

// Collected returns the share of the CPU time of a loop's long ticks in V8's garbage
// collector; known is false for other runtimes and if too few samples were taken. It is a
// lower bound: marking in small steps and sweeping on demand do not count as collection.
func (p *Pass) Collected(l *LoopView) (share float64, known bool) {
	seconds, ok := p.Increase(catalog.LongCollected, l.ID)
	if !ok || l.Long.CPU <= 0 || p.IncreaseOr0(catalog.LongSampled, l.ID) < max(leastOf(l), enoughCollected) {
		return 0, false
	}
	return min(1, seconds/l.Long.CPU), true
}

// Allocators returns the functions of the program whose allocations started the collections
// in a loop's long ticks.
func (p *Pass) Allocators(l *LoopView) []analysis.Culprit {
	return p.functions(l.ID, catalog.LongCollected, catalog.LongCollectedIn, enoughSampled)
}

// BusyFunctions returns the functions of the program in which a busy loop had the CPU.
func (p *Pass) BusyFunctions(l *LoopView) []analysis.Culprit {
	return p.functions(l.ID, catalog.LoopSampled, catalog.LoopIn, max(enoughBusy, covered*p.IncreaseOr0(catalog.LoopCPU, l.ID)))
}

// ThreadFunctions returns the same of a busy thread. It can count as the thread of a loop
// that has not waited yet.
func (p *Pass) ThreadFunctions(thread observe.ID) []analysis.Culprit {
	if loop, ok := p.Index.Find(observe.Entity{Kind: observe.Loop, ID: p.Index.Entity(thread).ID}); ok {
		return p.functions(loop, catalog.LoopSampled, catalog.LoopIn, max(enoughBusy, covered*p.IncreaseOr0(catalog.ThreadCPU, thread)))
	}
	return p.functions(thread, catalog.ThreadSampled, catalog.ThreadIn, max(enoughBusy, covered*p.IncreaseOr0(catalog.ThreadCPU, thread)))
}

// functions returns the functions of the samples of a thread; nil if those stand for less
// than least seconds.
func (p *Pass) functions(of observe.ID, all, in *observe.Metric, least float64) []analysis.Culprit {
	total, ok := p.Increase(all, of)
	if !ok || total < least {
		return nil
	}
	var found []analysis.Culprit
	for _, peer := range p.Peers(in, of) { // the largest first
		c := p.culpritOf(peer.ID)
		c.Share = min(1, peer.Value/total)
		at := slices.IndexFunc(found, func(o analysis.Culprit) bool { return o.Frames[0] == c.Frames[0] })
		if at < 0 {
			found = append(found, c)
			continue
		}
		found[at].Share = min(1, found[at].Share+c.Share)
	}
	slices.SortStableFunc(found, func(a, b analysis.Culprit) int { return cmp.Compare(b.Share, a.Share) })
	return found
}

// namedShare is the share of the samples from which a function is named in a sentence.
const namedShare = 0.3

// Named returns the first of these functions if it is worth naming in a sentence.
func Named(functions []analysis.Culprit) (analysis.Culprit, bool) {
	if len(functions) == 0 || functions[0].Share < namedShare {
		return analysis.Culprit{}, false
	}
	return functions[0], true
}

// listedShare is the share of the samples from which a function is listed.
const listedShare = 0.05

// Largest returns those that a finding lists.
func Largest(functions []analysis.Culprit) []analysis.Culprit {
	n := 0
	for n < min(analysis.MaxCulprits, len(functions)) && functions[n].Share >= listedShare {
		n++
	}
	return functions[:n]
}

// SamplesOf describes a function, what it called, and what called it: `login` at auth.js:42
// has 93% of the samples of its long ticks (in `hashSync of bcryptjs`), called from …
func SamplesOf(c analysis.Culprit, samples string) string {
	text := fmt.Sprintf("%s has %s of the samples of %s", FunctionName(c.Frames[0]), analysis.Percent(c.Share), samples)
	if c.Uses != "" {
		text += fmt.Sprintf(" (in `%s`)", c.Uses)
	}
	if len(c.Frames) > 1 {
		text += ", called from " + FunctionName(c.Frames[1])
	}
	return text
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
