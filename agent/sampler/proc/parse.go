// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"bytes"
	"errors"
	"math"
	"math/bits"
)

var errTruncated = errors.New("truncated")

// stat is what is needed of /proc/PID/stat. Times are in clock ticks.
type stat struct {
	state   byte
	kernel  bool
	cpu     uint64 // user and system, threads that exited included
	threads int
	start   uint64
	rss     uint64 // pages
	faults  uint64 // major, threads that exited included
}

// Numbers of the fields (man 5 proc_pid_stat).
const (
	fieldState   = 3
	fieldFlags   = 9
	fieldFaults  = 12
	fieldUTime   = 14
	fieldSTime   = 15
	fieldThreads = 20
	fieldStart   = 22
	fieldRSS     = 24
)

// flagKernel is PF_KTHREAD (include/linux/sched.h).
const flagKernel = 0x00200000

// parseStat reads one line of fields. The second is the name, which may hold
// anything: it ends at the last parenthesis.
//
//	4242 (node) S 4100 4242 4100 34816 4242 4194304 …
func parseStat(b []byte) (stat, error) {
	end := bytes.LastIndexByte(b, ')')
	if end < 0 || end+2 >= len(b) {
		return stat{}, errTruncated
	}
	var s stat
	rest := b[end+2:]
	s.state = rest[0]
	for field := fieldState; field <= fieldRSS; field++ {
		number, after, more := bytes.Cut(rest, []byte(" "))
		if !more { // the line has more than twice as many fields
			return stat{}, errTruncated
		}
		rest = after
		switch field {
		case fieldFlags:
			s.kernel = digits(number)&flagKernel != 0
		case fieldFaults:
			s.faults = digits(number)
		case fieldUTime, fieldSTime:
			s.cpu = sum(s.cpu, digits(number))
		case fieldThreads:
			s.threads = int(min(digits(number), math.MaxInt32))
		case fieldStart:
			s.start = digits(number)
		case fieldRSS:
			s.rss = digits(number)
		}
	}
	return s, nil
}

// digits reads a decimal number as far as it goes, and no further than 64
// bits hold.
func digits(b []byte) uint64 {
	var n uint64
	for _, c := range b {
		if c < '0' || c > '9' {
			return n
		}
		d := uint64(c - '0')
		if n > (math.MaxUint64-d)/10 {
			return math.MaxUint64
		}
		n = n*10 + d
	}
	return n
}

// sum stops at the largest number instead of starting again from 0.
func sum(a, b uint64) uint64 {
	s, carry := bits.Add64(a, b, 0)
	if carry != 0 {
		return math.MaxUint64
	}
	return s
}

// usage is what the scheduler counts for one thread.
type usage struct {
	cpu, delay uint64 // ns
	runs       uint64
}

func (u usage) plus(o usage) usage {
	return usage{cpu: sum(u.cpu, o.cpu), delay: sum(u.delay, o.delay), runs: sum(u.runs, o.runs)}
}

// parseSchedstat reads time on a CPU, time waiting for one, and turns.
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

// word reads a number and what ends it.
func word(b []byte) (n uint64, rest []byte, ok bool) {
	end := bytes.IndexAny(b, " \n")
	if end <= 0 {
		return 0, nil, false
	}
	return digits(b[:end]), b[end+1:], true
}

// parseStatm reads the second and the third number of /proc/PID/statm, in
// pages. Shared is what a file or tmpfs backs; the rest of resident is
// anonymous (fs/proc/task_mmu.c, task_statm).
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

// parseAffinity counts the CPUs of the mask in /proc/PID/status.
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
