// SPDX-License-Identifier: Apache-2.0

package eventloopblocked

import (
	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/capacity"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// stands reports whether the loop would be as late without the time that these
// causes took. The advice of this finding covers a smaller lateness that remains.
func (v view) stands(p *facts.Pass, causes []string) bool {
	lost := v.lostTo(p, causes).Total()
	if v.filledBy(p, lost) {
		return false
	}
	busy, now := v.busyWithout(lost), v.level(p, v.lags, v.Busy)
	return v.level(p, v.without(lost), busy) >= now || v.level(p, v.ownStalls(p, causes), busy) >= now
}

// lostTo returns the parts of the long ticks that these causes took. Causes that
// take the same seconds count once: disks and memory, and a full host and a
// neighbour.
func (v view) lostTo(p *facts.Pass, causes []string) observe.Parts {
	var lost observe.Parts
	for _, cause := range causes {
		switch cause {
		case "cpu-throttled":
			lost.Throttled = v.Long.Throttled
		case "run-queue-latency", hostCPU:
			lost.RunQueue = v.Long.RunQueue
		case "disk-saturated", "page-cache-thrash":
			lost.Blocked = max(lost.Blocked, v.diskWait)
		case hostMemory:
			lost.Blocked = max(lost.Blocked, v.Long.PageFault)
		case memoryLimit:
			lost.Blocked = max(lost.Blocked, v.stalledForMemory(p))
		}
	}
	return lost
}

// ownStalls returns the lags of the recorded stalls only, each without the part
// that these causes took, at most what would be left of all ticks. The average over
// long ticks hides this if many short waits for a CPU are mixed with a few ticks
// that compute for long.
func (v view) ownStalls(p *facts.Pass, causes []string) capacity.Lags {
	lost := v.lostTo(p, causes)
	waiting := v.Long.Blocked + v.Long.PageFault
	var own capacity.Lags
	for _, s := range p.StallsOf(v.ID) {
		left := s.Parts.Total()
		if lost.Throttled > 0 {
			left -= s.Parts.Throttled
		}
		if lost.RunQueue > 0 {
			left -= s.Parts.RunQueue + v.Stolen*s.Parts.CPU
		}
		if waiting > 0 {
			left -= min(1, lost.Blocked/waiting) * (s.Parts.Blocked + s.Parts.PageFault)
		}
		own = own.With(left)
	}
	return own
}

// memoryLimit is the analyzer that explains ticks that waited for memory.
const memoryLimit = "memory-limit-pressure"

// stalledForMemory returns the maximum time of the long ticks that a memory limit
// can explain, in seconds: they were blocked or in page faults, and at most as long
// as tasks of a cgroup above waited for memory.
func (v view) stalledForMemory(p *facts.Pass) float64 {
	waited := 0.0
	for cgroup := range p.Cgroups(v.ID) {
		if cgroup == observe.None || p.Index.Entity(cgroup).ID == "/" {
			continue // the pressure of the host, not of a limit
		}
		waited = max(waited, p.IncreaseOr0(catalog.CgroupMemorySome, cgroup))
	}
	return min(waited, v.Long.Blocked+v.Long.PageFault)
}

func (v view) busyWithout(lost float64) float64 { return max(0, v.Busy-lost/v.Seconds) }

// filledBy reports whether the loop was full only because of the time that it lost.
// Each tick of a full loop serves all requests that arrived during the previous
// one, so its work is long because it was late. With time left, the loop would have
// served one request at a time; how long that takes was not observed.
func (v view) filledBy(p *facts.Pass, lost float64) bool {
	return v.Busy > p.Param(fullLoop) && v.busyWithout(lost) < saturated
}

// without returns the lags if that many seconds of the long ticks had not been
// lost.
func (v view) without(lost float64) capacity.Lags {
	total := v.Long.Total()
	if total <= 0 {
		return v.lags
	}
	return v.lags.Scale(facts.LongTick, max(0, 1-lost/total))
}
