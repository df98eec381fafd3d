// SPDX-License-Identifier: Apache-2.0

// Package budget decides how much memory the agent may use, and how much detail it
// keeps if that is not enough.
//
// The soft limit of the Go runtime follows the memory in use, so that the garbage
// collector never works against it: near the limit it would run constantly, and
// take a third of a core instead of a hundredth. Detail is left out only if the
// limit cannot be raised, because of the config or of the agent's own cgroup.
package budget

import "math"

// A Reading holds the values of the runtime and the samplers at one time.
type Reading struct {
	// At is in seconds from any fixed moment.
	At float64
	// Live is the heap that remained after the last collection, in bytes; Other is the
	// runtime's other memory: stacks, fragmentation, its own tables.
	Live, Other int64
	// Collecting is the CPU time in seconds that all collections took.
	Collecting float64
	// Processes are those observed in detail, LeftOut the others.
	Processes, LeftOut int
}

// Bounds limit the limit.
type Bounds struct {
	// Most is the maximum that config, environment and cgroup allow, in bytes.
	Most int64
	// Growth is the garbage that may accumulate, as a share of live memory (GOGC/100).
	Growth float64
}

// A Detail is the level of detail.
type Detail struct {
	// Threads is set if threads are entities of their own, and if the history has its
	// full budget.
	Threads bool
	// Processes is the maximum number of processes, the most active ones; 0 means all.
	Processes int
}

const (
	mib = 1 << 20
	// least is the limit on an empty host.
	least = 64 * mib
	// step is the unit of the limit: the runtime adapts to each change.
	step = 8 * mib
	// spare is a factor of the needed memory: live memory grows between two
	// collections.
	spare = 1.1
	// lower is the share of the limit below which it is lowered, after patience
	// seconds.
	lower, patience = 0.6, 600
	// base is the memory of the agent without any process; perProcess that of a
	// process, with its share of containers and series (docs/benchmarks.md).
	base, perProcess = 20 * mib, 10 << 10
	// tight is the garbage that may accumulate, as a share of live memory, below which
	// detail is left out: at a fifth the collector runs twice as often as it should.
	tight = 0.2
	// mostShare is the share of a core that the collector may take while the limit is
	// too low, over shareSpan seconds.
	mostShare, shareSpan = 0.05, 10
	// settle is the time, in seconds, until reduced detail has freed memory; hurry is
	// the same if the collector takes more than it may.
	settle, hurry = 150, 30
	// fewest is the minimum number of processes.
	fewest = 100
	// roomy is the share of the bound below which detail returns, after patience
	// seconds.
	roomy = 0.7
)

// A Budget holds the current limit and detail. It is used by one goroutine.
type Budget struct {
	bounds  Bounds
	limit   int64
	detail  Detail
	started bool

	changed float64 // time of the last change of detail
	low     float64 // time since when the limit is higher than needed
	mark    Reading // start of the period for share
	share   float64 // of a core, over the last shareSpan seconds
}

// New returns a Budget without a reading. The number of processes is limited from
// the start, so that those of a large host fit.
func New(b Bounds) *Budget {
	budget := &Budget{detail: Detail{Threads: true}}
	budget.SetBounds(b)
	return budget
}

// SetBounds changes the bounds.
func (b *Budget) SetBounds(to Bounds) {
	b.bounds = to
	b.limit = min(max(b.limit, least), to.Most)
	if b.detail.Processes = roomFor(to); b.detail.Processes > largestHost {
		b.detail.Processes = 0
	}
}

// largestHost is the maximum number of processes of a host.
const largestHost = 20_000

// roomFor returns the number of processes that fit into a bound, from the typical
// size of one.
func roomFor(b Bounds) int {
	heap := float64(b.Most)/(1+b.Growth) - base
	return max(fewest, int(min(heap/perProcess, math.MaxInt32)))
}

// Limit returns the soft limit of the runtime, in bytes.
func (b *Budget) Limit() int64 { return b.limit }

// Detail returns the current detail.
func (b *Budget) Detail() Detail { return b.detail }

// Share returns the share of a core that the collector took recently.
func (b *Budget) Share() float64 { return b.share }

// Wanted returns the bound with which all of that many processes could be observed.
func (b *Budget) Wanted(processes int) int64 {
	return roundUp(int64((base + float64(processes)*perProcess) * (1 + b.bounds.Growth) * spare))
}

// Step updates Limit and Detail from a reading.
func (b *Budget) Step(r Reading) {
	if !b.started {
		b.started, b.mark, b.low, b.changed = true, r, r.At, r.At
	}
	if r.At-b.mark.At >= shareSpan {
		b.share = (r.Collecting - b.mark.Collecting) / (r.At - b.mark.At)
		b.mark = r
	}
	need := b.need(r)
	b.follow(r.At, need)
	switch {
	case b.starves(r, need):
		b.leaveOut(r)
	case float64(need) < roomy*float64(b.bounds.Most) && r.At-b.changed >= patience:
		b.takeBack(r)
	}
}

// need returns the memory with which the collector runs as rarely as Growth allows.
func (b *Budget) need(r Reading) int64 {
	return int64(spare*(1+b.bounds.Growth)*float64(r.Live)) + r.Other
}

// follow moves the limit towards the needed one.
func (b *Budget) follow(at float64, need int64) {
	if need > b.limit {
		b.limit = min(roundUp(need), b.bounds.Most)
	}
	if float64(need) >= lower*float64(b.limit) || b.limit <= least {
		b.low = at
	}
	if at-b.low >= patience {
		b.limit, b.low = min(max(roundUp(need), least), b.bounds.Most), at
	}
}

func roundUp(bytes int64) int64 { return (bytes + step - 1) / step * step }

// starves reports whether the collector works against a limit that cannot be raised.
func (b *Budget) starves(r Reading, need int64) bool {
	if need <= b.bounds.Most {
		return false
	}
	room := float64(b.bounds.Most - r.Other - r.Live)
	return room < tight*float64(r.Live) || b.share > mostShare
}

// leaveOut reduces the detail: first what few findings need, then the least active
// processes.
func (b *Budget) leaveOut(r Reading) {
	wait := float64(settle)
	if b.share > mostShare {
		wait = hurry
	}
	if first := b.detail.Threads; !first && r.At-b.changed < wait {
		return
	}
	b.changed = r.At
	if b.detail.Threads {
		b.detail.Threads = false
		return
	}
	target := float64(b.bounds.Most-r.Other) / (1 + b.bounds.Growth)
	keep := (target - base) / max(1, float64(r.Live)-base)
	b.detail.Processes = max(fewest, int(float64(r.Processes)*min(0.9, max(0, keep))))
}

// takeBack increases the detail again.
func (b *Budget) takeBack(r Reading) {
	switch {
	case r.LeftOut > 0:
		b.detail.Processes += b.detail.Processes / 4
	case !b.detail.Threads:
		b.detail.Threads = true
	default:
		return
	}
	b.changed = r.At
}
