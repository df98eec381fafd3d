// SPDX-License-Identifier: Apache-2.0

// Package budget decides how much memory the agent may use, and how much detail it
// keeps when that is not enough.
//
// The soft limit of the Go runtime follows what is in use, so that the collector
// never works against it: near the limit it would run again and again, and take a
// third of a core instead of a hundredth. Only where the limit cannot be raised,
// because the config or the agent's own cgroup says so, detail is left out.
package budget

import "math"

// A Reading is what the runtime and the samplers say at one time.
type Reading struct {
	// At is in seconds since any moment.
	At float64
	// Live is what the last collection left of the heap, in bytes; Other is what the
	// runtime holds beside it: stacks, fragments, its own tables.
	Live, Other int64
	// Collecting is the CPU time in seconds that all collections took.
	Collecting float64
	// Processes are those that are followed in detail, LeftOut those that are not.
	Processes, LeftOut int
}

// Bounds are what the limit stays in.
type Bounds struct {
	// Most is what config, environment and cgroup allow, in bytes.
	Most int64
	// Growth is how much garbage may gather, as a share of what is live (GOGC/100).
	Growth float64
}

// Detail is what is kept.
type Detail struct {
	// Threads is whether threads are entities of their own, and whether history
	// keeps its whole budget.
	Threads bool
	// Processes is how many are followed, the most active ones; 0 is all.
	Processes int
}

const (
	mib = 1 << 20
	// least is the limit of an empty host.
	least = 64 * mib
	// step is by what the limit is rounded: each change makes the runtime pace
	// itself again.
	step = 8 * mib
	// spare is added to what is needed: live memory grows between two collections.
	spare = 1.1
	// lower is the share of the limit below which it is lowered, after patience
	// seconds.
	lower, patience = 0.6, 600
	// base is what the agent needs without any process; perProcess is what one takes,
	// with its share of containers and series (docs/benchmarks.md).
	base, perProcess = 20 * mib, 10 << 10
	// tight is the garbage that may gather, as a share of what is live, below which
	// detail is left out: at a fifth the collector runs twice as often as it should.
	tight = 0.2
	// mostShare is the share of a core that collecting may take while the limit is in
	// its way, over shareSpan seconds.
	mostShare, shareSpan = 0.05, 10
	// settle is for how many seconds what was left out may take to be given back;
	// hurry is that when the collector takes more than it may.
	settle, hurry = 150, 30
	// fewest processes are followed in any case.
	fewest = 100
	// roomy is the share of the bound below which detail comes back, after patience.
	roomy = 0.7
)

// A Budget remembers what was decided. It is used by one goroutine.
type Budget struct {
	bounds  Bounds
	limit   int64
	detail  Detail
	started bool

	changed float64 // when detail was changed
	low     float64 // since when the limit is larger than it has to be
	mark    Reading // the collector's share is since then
	share   float64 // of a core, over the last shareSpan seconds
}

// New returns a Budget that has seen nothing. The number of processes is bounded from
// the beginning, so that those of a large host fit.
func New(b Bounds) *Budget {
	budget := &Budget{detail: Detail{Threads: true}}
	budget.SetBounds(b)
	return budget
}

// SetBounds takes in other bounds.
func (b *Budget) SetBounds(to Bounds) {
	b.bounds = to
	b.limit = min(max(b.limit, least), to.Most)
	if b.detail.Processes = roomFor(to); b.detail.Processes > largestHost {
		b.detail.Processes = 0
	}
}

// largestHost has no more processes than that.
const largestHost = 20_000

// roomFor is how many processes fit in a bound, by what one takes as a rule.
func roomFor(b Bounds) int {
	heap := float64(b.Most)/(1+b.Growth) - base
	return max(fewest, int(min(heap/perProcess, math.MaxInt32)))
}

// Limit is the soft limit of the runtime, in bytes.
func (b *Budget) Limit() int64 { return b.limit }

// Detail is what is kept now.
func (b *Budget) Detail() Detail { return b.detail }

// Share is the share of a core that collecting took lately.
func (b *Budget) Share() float64 { return b.share }

// Wanted is the bound with which all of so many processes would be kept.
func (b *Budget) Wanted(processes int) int64 {
	return roundUp(int64((base + float64(processes)*perProcess) * (1 + b.bounds.Growth) * spare))
}

// Step takes in a reading. Limit and Detail are valid after it.
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

// need is with how much memory the collector runs as seldom as Growth says.
func (b *Budget) need(r Reading) int64 {
	return int64(spare*(1+b.bounds.Growth)*float64(r.Live)) + r.Other
}

// follow moves the limit to where it is needed.
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

// leaveOut keeps less detail: first what few findings need, then the processes that do
// least.
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

// takeBack keeps more again.
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
