// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"math"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

const (
	// afterKill and leastAfterKill are by how much a limit is raised after it
	// killed: 1.2 times and 100 MB at least (VPA's defaults, docs/science.md, Limits of containers).
	afterKill      = 1.2
	leastAfterKill = 100e6
	// limitStep is what limits are rounded up to: a manifest does not say 237.4 MiB.
	limitStep = 16 << 20
)

// LimitAfterKill is the memory limit to try after one of so many bytes killed:
// what was needed is not known, only that it was more.
func LimitAfterKill(limit float64) float64 {
	return RoundLimit(max(afterKill*limit, limit+leastAfterKill))
}

// RoundLimit rounds a memory limit up to what people write.
func RoundLimit(bytes float64) float64 { return math.Ceil(bytes/limitStep) * limitStep }

// MemoryGrowth is by how many bytes, and over how many seconds, the memory of
// processes in a cgroup grew up to its highest reading; ok is false where too
// little was read. Anonymous memory is read less often than all of it, and
// only tells more where page cache is much of it.
func (p *Pass) MemoryGrowth(cgroup observe.ID) (bytes, seconds float64, ok bool) {
	points := p.Points(catalog.CgroupMemoryUsage, cgroup)
	file, _ := p.Last(catalog.CgroupMemoryFile, cgroup)
	_, high, _ := p.Range(catalog.CgroupMemoryUsage, cgroup)
	if file > high/2 {
		points = p.Points(catalog.CgroupMemoryAnon, cgroup)
	}
	return Growth(points)
}

// leastPoints is how many readings make growth more than a step.
const leastPoints = 3

// Growth is the way from the first reading to the highest one after it.
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
