// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"bytes"

	"github.com/headroom-project/headroom/agent/sampler"
)

// unlimited is the smallest value that means no limit: v1 uses 2^63 rounded down to
// a page (PAGE_COUNTER_MAX in include/linux/page_counter.h).
const unlimited = 1 << 62

// parseLimit reads memory.max, memory.high or memory.limit_in_bytes, absent if
// there is no limit.
//
//	134217728
//	max
//	9223372036854771712
func parseLimit(b []byte) field {
	n, ok := sampler.Number(b)
	if !ok || n >= unlimited {
		return field{}
	}
	return field{float64(n), true}
}

// memoryEvents holds counts since the cgroup was created.
type memoryEvents struct {
	high, max, oom, kills field
}

// parseEvents reads memory.events.local, or v1's memory.oom_control, which only has
// oom_kill (mem_cgroup_oom_control_read in mm/memcontrol-v1.c).
//
//	low 0
//	high 1201
//	max 37
//	oom 1
//	oom_kill 1
//	oom_group_kill 0
func parseEvents(b []byte) memoryEvents {
	var e memoryEvents
	for line := range bytes.Lines(b) {
		name, v, ok := countLine(line)
		if !ok {
			continue
		}
		switch string(name) {
		case "high":
			e.high = v
		case "max":
			e.max = v
		case "oom":
			e.oom = v
		case "oom_kill":
			e.kills = v
		}
	}
	return e
}

// countLine splits "name 123\n". A line without a newline was truncated, possibly
// within the number.
func countLine(line []byte) (name []byte, v field, ok bool) {
	name, text, found := bytes.Cut(line, []byte(" "))
	if !found || !bytes.HasSuffix(text, []byte("\n")) {
		return nil, field{}, false
	}
	n, ok := sampler.Number(text)
	return name, field{float64(n), ok}, ok
}

// memoryStat holds memory.stat of either version, of a cgroup and its descendants,
// in bytes and counts.
type memoryStat struct {
	anon, file, inactiveFile, shmem, kernel, swap field
	majorFaults, refaults, restored, reclaimed    field
}

// parseMemoryStat reads memory.stat. Values that the kernel does not provide stay
// absent.
//
// v2 (memory_stats in mm/memcontrol.c):
//
//	anon 2891776
//	file 104857600
//	kernel 1216512
//	workingset_refault_file 512
//
// v1 (memcg1_stats in mm/memcontrol-v1.c) has each line twice, the second time
// including its descendants:
//
//	cache 9662464
//	total_cache 92672000
func parseMemoryStat(b []byte, v1 bool) memoryStat {
	var st memoryStat
	var parts kernelParts
	for line := range bytes.Lines(b) {
		name, v, ok := countLine(line)
		if !ok {
			continue
		}
		if v1 {
			if name, ok = bytes.CutPrefix(name, []byte("total_")); !ok {
				continue
			}
		}
		if !st.set(name, v) && !v1 {
			parts.add(name, v)
		}
	}
	if !st.kernel.known {
		st.kernel = parts.sum
	}
	return st
}

// set stores one line. The name is that of v2 or, if it differs, of v1.
func (st *memoryStat) set(name []byte, v field) bool {
	switch string(name) {
	case "anon", "rss":
		st.anon = v
	case "file", "cache":
		st.file = v
	case "inactive_file":
		st.inactiveFile = v
	case "shmem":
		st.shmem = v
	case "kernel":
		st.kernel = v
	case "swap":
		st.swap = v
	case "pgmajfault":
		st.majorFaults = v
	case "workingset_refault_file", "workingset_refault": // one of anon and file since Linux 5.9
		st.refaults = v
	case "workingset_restore_file", "workingset_restore":
		st.restored = v
	case "pgsteal":
		st.reclaimed = v
	default:
		return false
	}
	return true
}

// kernelParts adds up to about the line "kernel" that exists since Linux 5.18.
type kernelParts struct{ sum field }

func (k *kernelParts) add(name []byte, v field) {
	switch string(name) {
	case "kernel_stack", "pagetables", "percpu", "slab":
		k.sum = field{k.sum.value + v.value, true}
	}
}
