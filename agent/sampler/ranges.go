// SPDX-License-Identifier: Apache-2.0

package sampler

import "bytes"

// Ranges calls visit for each range of a list of numbers, as the kernel prints bitmaps
// (CPUs, reserved ports). It skips invalid parts, and reports whether all parts were
// valid. An empty list is invalid.
//
//	0-3,8,10-11
func Ranges(b []byte, visit func(first, last uint64)) bool {
	valid := true
	for part := range bytes.SplitSeq(bytes.TrimSpace(b), []byte(",")) {
		low, high, isRange := bytes.Cut(part, []byte("-"))
		if !isRange {
			high = low
		}
		first, ok1 := Whole(low)
		last, ok2 := Whole(high)
		if !ok1 || !ok2 || last < first {
			valid = false
			continue
		}
		visit(first, last)
	}
	return valid
}

// maxCPUs is more than any kernel's NR_CPUS (8192 on x86).
const maxCPUs = 1 << 16

// CountCPUs returns the number of CPUs in a list of the kernel. It skips invalid parts,
// and ok is then false.
//
//	0-3,8,10-11
func CountCPUs(b []byte) (n int, ok bool) {
	ok = Ranges(b, func(first, last uint64) { n += int(min(last-first, maxCPUs)) + 1 })
	return n, ok
}
