// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// A MemoryRoom is the memory left below a hard memory limit.
type MemoryRoom struct {
	Limit float64 // bytes
	// Need is memory that cannot be reclaimed: usage minus file-backed page cache. A
	// cgroup whose page cache fills its limit has a low need.
	Need  float64
	Whose observe.ID // the cgroup with the limit, or the host
}

// Left returns how many more bytes fit.
func (m MemoryRoom) Left() float64 { return max(0, m.Limit-m.Need) }

// MemoryRoom returns the limit above id with the least memory left, of its cgroups
// and of the host; ok is false if none is known.
func (p *Pass) MemoryRoom(id observe.ID) (least MemoryRoom, ok bool) {
	for at := range p.Cgroups(id) {
		limit, limited := p.Last(catalog.CgroupMemoryLimit, at)
		need, known := p.MemoryNeed(at)
		if !limited || !known {
			continue
		}
		if room := (MemoryRoom{limit, need, at}); !ok || room.Left() < least.Left() {
			least, ok = room, true
		}
	}
	if room, known := p.hostRoom(); known && (!ok || room.Left() < least.Left()) {
		least, ok = room, true
	}
	return least, ok
}

// MemoryNeed returns the memory of a cgroup that cannot be reclaimed, in bytes: its
// usage minus file-backed page cache, which is read less often. If the cache
// changes quickly, as for a file that is rewritten repeatedly, the usage at the
// time of that reading is used.
func (p *Pass) MemoryNeed(cgroup observe.ID) (float64, bool) {
	usage, ok := p.Last(catalog.CgroupMemoryUsage, cgroup)
	if !ok {
		return 0, false
	}
	file, _ := p.Last(catalog.CgroupMemoryFile, cgroup)
	shmem, _ := p.Last(catalog.CgroupMemoryShmem, cgroup)
	const moves = 0.05 // of what is used
	low, high, _ := p.Range(catalog.CgroupMemoryFile, cgroup)
	least, most, _ := p.Range(catalog.CgroupMemoryShmem, cgroup)
	if high-low-(most-least) > moves*usage {
		usage = p.usageThen(cgroup, usage)
	}
	return max(0, usage-max(0, file-shmem)), true
}

// usageThen returns the usage of a cgroup when its statistics, such as anonymous
// memory, were read last; the current usage if that is not known.
func (p *Pass) usageThen(cgroup observe.ID, now float64) float64 {
	stats := p.Points(catalog.CgroupMemoryAnon, cgroup)
	if len(stats) == 0 {
		return now
	}
	then := now
	for _, point := range p.Points(catalog.CgroupMemoryUsage, cgroup) {
		if point.At > stats[len(stats)-1].At {
			break
		}
		then = point.Value
	}
	return then
}

func (p *Pass) hostRoom() (MemoryRoom, bool) {
	node, ok := p.Node()
	if !ok {
		return MemoryRoom{}, false
	}
	total, okTotal := p.Last(catalog.MemoryTotal, node)
	available, okAvailable := p.Last(catalog.HostMemoryAvailable, node)
	if !okTotal || !okAvailable {
		return MemoryRoom{}, false
	}
	return MemoryRoom{Limit: total, Need: total - available, Whose: node}, true
}
