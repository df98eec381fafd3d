// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// Descriptors are the file descriptors of a process, held against how many it
// may have.
type Descriptors struct {
	Process observe.ID
	// Count is the last reading, Peak the highest.
	Count, Peak float64
	// Limit is the soft limit, Hard up to where the process may raise it
	// itself; 0 when not known.
	Limit, Hard float64
	// Refused counts the calls that failed because no descriptor was left; Watched is
	// set if they were counted.
	Refused float64
	Watched bool
	// Pinned is the share of the readings that were at the limit.
	Pinned float64
}

// Descriptors returns what is known of a process's descriptors; ok is false
// without their number or their limit.
func (p *Pass) Descriptors(process observe.ID) (d Descriptors, ok bool) {
	count, counted := p.Last(catalog.ProcessFDs, process)
	limit, limited := p.Last(catalog.ProcessFDLimit, process)
	if !counted || !limited || limit <= 0 {
		return Descriptors{}, false
	}
	d = Descriptors{Process: process, Count: count, Limit: limit}
	_, d.Peak, _ = p.Range(catalog.ProcessFDs, process)
	d.Hard, _ = p.Last(catalog.ProcessFDHardLimit, process)
	d.Refused = p.IncreaseOr0(catalog.ProcessFDRefused, process)
	_, d.Watched = p.Last(catalog.ProcessFDRefused, process)
	d.Pinned = p.pinned(process, limit)
	return d, true
}

// spare is how many descriptors a process at its limit can seem to have left:
// libuv keeps one to close when accept fails, takes the connection with it,
// closes that at once and opens its spare again (uv__emfile_trick).
const spare = 1

func (p *Pass) pinned(process observe.ID, limit float64) float64 {
	readings := p.Points(catalog.ProcessFDs, process)
	at := 0.0
	for _, reading := range readings {
		if reading.Value >= limit-spare {
			at++
		}
	}
	return at / float64(max(1, len(readings)))
}

// Share is the part of its limit that the process uses at most.
func (d Descriptors) Share() float64 { return d.Peak / d.Limit }

// Left is how many more it may open.
func (d Descriptors) Left() float64 { return max(0, d.Limit-d.Count) }

// mostly is the part of the readings that makes a limit one that is sat at
// rather than touched.
const mostly = 0.5

// Over reports whether it holds more than it is allowed: some were opened
// before its limit was lowered. The limit bounds the numbers of new ones
// (alloc_fd in fs/file.c), so that how many are left is not known.
func (d Descriptors) Over() bool { return d.Count > d.Limit }

// Exhausted reports whether calls were refused because no descriptor was left, or the
// process was at its limit most of the time: libuv hides the refusal from the
// application by accepting connections and closing them. For a process with more
// descriptors than its limit, only refused calls count.
func (d Descriptors) Exhausted() bool {
	return d.Refused > 0 || d.Pinned > mostly && !(d.Over() && d.Watched)
}
