// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"math"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

const (
	// afterKill and leastAfterKill are the factor and the minimum by which a limit is
	// raised after a kill: 1.2 times and at least 100 MB (VPA's defaults,
	// docs/science.md, Limits of containers).
	afterKill      = 1.2
	leastAfterKill = 100e6
	// limitStep is the unit to which limits are rounded up, to get numbers that people
	// write in manifests.
	limitStep = 16 << 20
)

// LimitAfterKill returns the memory limit to try after a kill at this limit: the
// needed memory is not known, only that it was more than the limit, and more than what
// the processes held that were killed.
func LimitAfterKill(limit, held float64) float64 {
	return RoundLimit(max(afterKill*max(limit, held), limit+leastAfterKill))
}

// RoundLimit rounds a memory limit up to a number that people write.
func RoundLimit(bytes float64) float64 { return math.Ceil(bytes/limitStep) * limitStep }

// MemoryGrowth returns by how many bytes, and over how many seconds, the memory of
// processes in a cgroup grew up to its highest reading; ok is false if there are
// too few readings. Anonymous memory is read less often than the total, and is
// better only if much of the total is page cache.
func (p *Pass) MemoryGrowth(cgroup observe.ID) (bytes, seconds float64, ok bool) {
	points := p.Points(catalog.CgroupMemoryUsage, cgroup)
	file, _ := p.Last(catalog.CgroupMemoryFile, cgroup)
	_, high, _ := p.Range(catalog.CgroupMemoryUsage, cgroup)
	if file > high/2 {
		points = p.Points(catalog.CgroupMemoryAnon, cgroup)
	}
	return Growth(points)
}

// leastPoints is the number of readings from which growth is more than a step.
const leastPoints = 3

// Growth returns the difference and the time between the first reading and the
// highest one after it.
func Growth(points []observe.Point) (bytes, seconds float64, ok bool) {
	if len(points) < leastPoints {
		return 0, 0, false
	}
	top, low := 0, 0
	for i, pt := range points {
		if pt.Value > points[top].Value {
			top = i
		}
	}
	for i := range top {
		if points[i].Value < points[low].Value {
			low = i
		}
	}
	if top-low+1 < leastPoints {
		return 0, 0, false
	}
	return points[top].Value - points[low].Value, points[top].At - points[low].At, true
}
