// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"bytes"

	"github.com/headroom-project/headroom/agent/sampler"
)

// A field is a number that a file may not have.
type field struct {
	value float64
	known bool
}

// cpuStat holds cpu.stat of either version, in seconds and counts.
type cpuStat struct {
	usage, periods, throttled, throttledTime field
}

// parseStat reads cpu.stat. v1 counts time in ns, v2 in µs under other names
// (cpu_cfs_stat_show and cpu_extra_stat_show in kernel/sched/core.c).
//
//	usage_usec 8537362
//	nr_periods 100
//	nr_throttled 38
//	throttled_usec 775700
func parseStat(b []byte) cpuStat {
	var st cpuStat
	for len(b) > 0 {
		line := b
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			line, b = b[:i], b[i+1:]
		} else {
			b = nil
		}
		i := bytes.IndexByte(line, ' ')
		if i < 0 {
			continue
		}
		n, ok := sampler.Number(line[i+1:])
		if !ok {
			continue
		}
		v := float64(n)
		switch string(line[:i]) {
		case "usage_usec":
			st.usage = field{v / 1e6, true}
		case "nr_periods":
			st.periods = field{v, true}
		case "nr_throttled":
			st.throttled = field{v, true}
		case "throttled_usec":
			st.throttledTime = field{v / 1e6, true}
		case "throttled_time":
			st.throttledTime = field{v / 1e9, true}
		}
	}
	return st
}

// parsePressure returns the totals of both lines, in seconds. procfs cannot be
// used: its PSIStatsForResource reads only /proc/pressure, and its parser is not
// exported.
//
//	some avg10=0.06 avg60=0.21 avg300=0.99 total=8537362
//	full avg10=0.00 avg60=0.00 avg300=0.00 total=0
func parsePressure(b []byte) (some, full field) {
	for line := range bytes.Lines(b) {
		_, total, ok := bytes.Cut(line, []byte("total="))
		if !ok || !bytes.HasSuffix(total, []byte("\n")) { // truncated, possibly within the number
			continue
		}
		us, ok := sampler.Number(total)
		switch {
		case !ok:
		case bytes.HasPrefix(line, []byte("some")):
			some = field{float64(us) / 1e6, true}
		case bytes.HasPrefix(line, []byte("full")):
			full = field{float64(us) / 1e6, true}
		}
	}
	return some, full
}

// parseMax reads cpu.max: quota and period in µs, or "max" for no quota.
//
//	50000 100000
func parseMax(b []byte) (quota, period float64, limited bool) {
	q, p, _ := bytes.Cut(b, []byte(" "))
	us, ok := sampler.Number(q)
	every, okPeriod := sampler.Number(p)
	if !ok || !okPeriod || us == 0 || every == 0 {
		return 0, 0, false
	}
	return float64(us), float64(every), true
}
