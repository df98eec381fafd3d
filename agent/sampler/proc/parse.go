// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"bytes"
	"errors"
	"math/bits"

	"github.com/headroom-project/headroom/agent/sampler"
)

var errTruncated = errors.New("truncated")

// usage holds what the scheduler counts for one thread.
type usage struct {
	cpu, delay uint64 // ns
	runs       uint64
}

func (u usage) plus(o usage) usage {
	return usage{cpu: sampler.Sum(u.cpu, o.cpu), delay: sampler.Sum(u.delay, o.delay), runs: sampler.Sum(u.runs, o.runs)}
}

// parseSchedstat reads the time on a CPU, the time waiting for one, and the number of
// runs. procfs takes 2.5 times as long, and makes 13 allocations instead of 3
// (BenchmarkProcfs).
//
//	120948173 3380125 412
func parseSchedstat(b []byte) (usage, error) {
	cpu, b, ok1 := word(b)
	delay, b, ok2 := word(b)
	runs, _, ok3 := word(b)
	if !ok1 || !ok2 || !ok3 {
		return usage{}, errTruncated
	}
	return usage{cpu: cpu, delay: delay, runs: runs}, nil
}

// word parses a number and returns the text after the character that follows it.
func word(b []byte) (n uint64, rest []byte, ok bool) {
	end := bytes.IndexAny(b, " \n")
	if end <= 0 {
		return 0, nil, false
	}
	return sampler.Saturated(b[:end]), b[end+1:], true
}

// parseStatm reads the second and the third number of /proc/PID/statm, in pages.
// Shared pages are backed by a file or tmpfs; the rest of resident is anonymous
// (fs/proc/task_mmu.c, task_statm). procfs takes 2.2 times as long, and makes 12
// allocations instead of 3 (BenchmarkProcfs).
//
//	252568 14212 11264 10240 0 37004 0
func parseStatm(b []byte) (resident, shared uint64, err error) {
	_, b, _ = word(b)
	resident, b, ok1 := word(b)
	shared, _, ok2 := word(b)
	if !ok1 || !ok2 {
		return 0, 0, errTruncated
	}
	return resident, shared, nil
}

// parseAffinity counts the CPUs of the mask in /proc/PID/status. procfs parses the
// whole file: it takes 5 times as long, and makes 113 allocations instead of 3
// (BenchmarkProcfs).
//
//	Cpus_allowed:	ffffffff,00000003
func parseAffinity(b []byte) (count int, ok bool) {
	const key = "\nCpus_allowed:"
	at := bytes.Index(b, []byte(key))
	if at < 0 {
		return 0, false
	}
	line, _, whole := bytes.Cut(b[at+len(key):], []byte("\n"))
	if !whole {
		return 0, false
	}
	for _, c := range line {
		switch {
		case c >= '0' && c <= '9':
			count += bits.OnesCount8(c - '0')
		case c >= 'a' && c <= 'f':
			count += bits.OnesCount8(c - 'a' + 10)
		}
	}
	return count, count > 0
}
