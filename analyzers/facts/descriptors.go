// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// Descriptors holds the number of a process's file descriptors, and their limit.
type Descriptors struct {
	Process observe.ID
	// Count is the last reading, Peak the highest.
	Count, Peak float64
	// Limit is the soft limit, Hard the value to which the process may raise it
	// itself; 0 if not known.
	Limit, Hard float64
	// Refused counts the calls that failed because no descriptor was left; Watched is
	// set if they were counted.
	Refused float64
	Watched bool
	// Pinned is the share of the readings at the limit.
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

// spare is the number of descriptors that a process at its limit can seem to have
// left: if accept fails, libuv closes a reserved descriptor, accepts the
// connection, closes it at once and opens the reserved descriptor again
// (uv__emfile_trick).
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

// Share returns the highest share of its limit that the process used.
func (d Descriptors) Share() float64 { return d.Peak / d.Limit }

// Left returns how many more it may open.
func (d Descriptors) Left() float64 { return max(0, d.Limit-d.Count) }

// mostly is the share of the readings from which a process counts as at its limit
// all the time.
const mostly = 0.5

// Over reports whether it holds more than its limit: some were opened before the
// limit was lowered. The limit applies to the numbers of new descriptors (alloc_fd
// in fs/file.c), so how many are left is not known.
func (d Descriptors) Over() bool { return d.Count > d.Limit }

// Exhausted reports whether calls were refused because no descriptor was left, or the
// process was at its limit most of the time: libuv hides the refusal from the
// application by accepting connections and closing them. For a process with more
// descriptors than its limit, only refused calls count.
func (d Descriptors) Exhausted() bool {
	return d.Refused > 0 || d.Pinned > mostly && !(d.Over() && d.Watched)
}
