// SPDX-License-Identifier: Apache-2.0

package eventloopblocked

import (
	"cmp"
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// A share is the part of the long ticks that one cause took.
type share struct {
	cause   string
	seconds float64
	share   float64
}

// A cause is the reason why a loop's long ticks were long.
type cause struct {
	cause string
	// parts are all causes, largest first.
	parts []share
	// calls are the system calls that blocked, worst first, and faults the page
	// faults on mapped files.
	calls, faults []facts.BlockedBy
}

// of returns the share of one cause.
func (c cause) of(name string) share {
	for _, s := range c.parts {
		if s.cause == name {
			return s
		}
	}
	return share{cause: name}
}

// attribute returns the cause that took most of the time of the long ticks. Short
// ticks delay no request and are left out.
func (v view) attribute(p *facts.Pass) cause {
	total := v.Long.Total()
	parts := []share{
		{cause: cpuThrottled, seconds: v.Long.Throttled},
		{cause: runQueue, seconds: v.Long.RunQueue},
		{cause: blockingCall, seconds: v.Long.Blocked},
		{cause: pageFault, seconds: v.Long.PageFault},
		{cause: onCPU, seconds: v.Long.CPU},
	}
	for i := range parts {
		if total > 0 {
			parts[i].share = parts[i].seconds / total
		}
	}
	slices.SortStableFunc(parts, func(a, b share) int { return cmp.Compare(b.seconds, a.seconds) })
	c := cause{cause: mixed, parts: parts, calls: p.BlockedBy(v.LoopView), faults: p.FaultedOn(v.LoopView)}
	if parts[0].share < p.Param(dominant) {
		return c
	}
	if collected, _ := p.Collected(v.LoopView); parts[0].cause == onCPU && collected >= p.Param(mostlyGC) {
		parts[0].cause = gc
	}
	c.cause = parts[0].cause
	return c
}

// confidence grows with the share of the cause, and with the number of long ticks
// (docs/science.md, Event loops).
func (v view) confidence(p *facts.Pass, c cause) float64 {
	const base, bySharing, byTicks, enoughTicks = 0.5, 0.4, 0.1, 3
	confidence := base
	if c.cause != mixed {
		confidence += bySharing * (c.parts[0].share - 0.5) / 0.5
	}
	if v.LongTicks >= enoughTicks {
		confidence += byTicks
	}
	if c.cause == onCPU && v.collectorUnknown(p) {
		confidence = min(confidence, unknownCollector)
	}
	if v.young(p) {
		confidence *= youngProcess
	}
	return confidence
}

const (
	// unknownCollector limits the confidence in on-cpu if it can be garbage collection.
	unknownCollector = 0.7
	// grace is the expected time of start-up and of a JIT compiler's warm-up;
	// youngProcess is the factor of confidence until then.
	grace        = 60.0
	youngProcess = 0.9
)

func (v view) young(p *facts.Pass) bool {
	age, known := p.Last(catalog.ProcessAge, v.Process)
	return known && age < grace
}
