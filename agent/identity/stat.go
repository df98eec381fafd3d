// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"bytes"
	"errors"
	"strconv"
)

// stat is what identity needs of /proc/PID/stat.
type stat struct {
	comm  string
	ppid  int
	flags uint64
	start uint64 // clock ticks since boot
}

// Flags of a task (include/linux/sched.h).
const (
	flagForked = 0x00000040 // PF_FORKNOEXEC: still the program that it was forked from
	flagKernel = 0x00200000 // PF_KTHREAD
)

var errTruncated = errors.New("truncated")

// parseStat reads the fields up to the start time. The name may hold spaces
// and parentheses: it ends at the last parenthesis.
//
//	4242 (node) S 4100 4242 4100 34816 4242 4194304 …
func parseStat(b []byte) (stat, error) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return stat{}, errTruncated
	}
	s := stat{comm: string(b[open+1 : end])}
	rest := bytes.Fields(b[end+1:])
	// The first of rest is field 3, the state.
	const ppid, flags, start = 4 - 3, 9 - 3, 22 - 3
	if len(rest) <= start {
		return stat{}, errTruncated
	}
	var err error
	if s.ppid, err = strconv.Atoi(string(rest[ppid])); err != nil {
		return stat{}, err
	}
	if s.flags, err = strconv.ParseUint(string(rest[flags]), 10, 64); err != nil {
		return stat{}, err
	}
	s.start, err = strconv.ParseUint(string(rest[start]), 10, 64)
	return s, err
}
