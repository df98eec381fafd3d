// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"bytes"
	"strconv"
)

// number parses the value of a sysctl.
//
//	262144
func number(b []byte) (uint64, bool) {
	n, err := strconv.ParseUint(string(bytes.TrimSpace(b)), 10, 64)
	return n, err == nil
}

// parseStat adds up two columns over the lines of all CPUs. Numbers are
// hexadecimal, 32 bits wide (ct_cpu_seq_show in
// net/netfilter/nf_conntrack_standalone.c). procfs opens the file each time: with
// reading it takes 4.5 times as long, and makes 53 allocations instead of none
// (BenchmarkProcfs).
//
//	entries  clashres found new … insert_failed drop early_drop icmp_error …
//	00000419  00000000 00000000 00000000 … 00000000 00000000 00000000 00000000 …
func parseStat(b []byte) (dropped, evicted uint64, ok bool) {
	heading, b, _ := bytes.Cut(b, []byte("\n"))
	drop, early := columnOf(heading, "drop"), columnOf(heading, "early_drop")
	if drop < 0 || early < 0 {
		return 0, 0, false
	}
	for len(b) > 0 {
		var line []byte
		line, b, _ = bytes.Cut(b, []byte("\n"))
		d, okDrop := hexAt(line, drop)
		e, okEarly := hexAt(line, early)
		if !okDrop || !okEarly {
			return 0, 0, false
		}
		dropped, evicted, ok = dropped+d, evicted+e, true
	}
	return dropped, evicted, ok
}

func columnOf(heading []byte, name string) int {
	n := 0
	for f := range bytes.FieldsSeq(heading) {
		if string(f) == name {
			return n
		}
		n++
	}
	return -1
}

func hexAt(line []byte, column int) (uint64, bool) {
	n := 0
	for f := range bytes.FieldsSeq(line) {
		if n == column {
			v, err := strconv.ParseUint(string(f), 16, 32)
			return v, err == nil
		}
		n++
	}
	return 0, false
}
