// SPDX-License-Identifier: Apache-2.0

package sampler

import (
	"bytes"
	"errors"
	"math"
)

// A Stat holds the fields of /proc/PID/stat that are used. Times are in clock
// ticks.
type Stat struct {
	State       byte   // R, S, D, Z …
	Parent      int    // pid
	Flags       uint64 // of the task
	MajorFaults uint64 // threads that exited included
	CPU         uint64 // user and system, threads that exited included
	Threads     int
	Start       uint64 // since boot
	Resident    uint64 // pages
}

// Flags of a task (include/linux/sched.h).
const (
	TaskForked = 0x00000040 // PF_FORKNOEXEC: it runs the program that it was forked from
	TaskKernel = 0x00200000 // PF_KTHREAD
)

// Numbers of the fields (man 5 proc_pid_stat).
const (
	fieldState   = 3
	fieldParent  = 4
	fieldFlags   = 9
	fieldFaults  = 12
	fieldUTime   = 14
	fieldSTime   = 15
	fieldThreads = 20
	fieldStart   = 22
	fieldRSS     = 24
)

var errStatTruncated = errors.New("process statistics are truncated")

// ParseStat parses /proc/PID/stat. The second field is the name, which may hold
// anything: it ends at the last parenthesis. comm is a part of b.
//
// This file is read most often. procfs.Proc.Stat takes 5 times as long, and makes 31
// allocations instead of none (BenchmarkParseStat).
//
//	4242 (node) S 4100 4242 4100 34816 4242 4194304 …
func ParseStat(b []byte) (s Stat, comm []byte, err error) {
	begin, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if begin < 0 || end < begin || end+2 >= len(b) {
		return Stat{}, nil, errStatTruncated
	}
	rest := b[end+2:]
	s.State = rest[0]
	for field := fieldState; field <= fieldRSS; field++ {
		number, after, more := bytes.Cut(rest, []byte(" "))
		if !more { // the line has more than twice as many fields
			return Stat{}, nil, errStatTruncated
		}
		rest = after
		s.set(field, number)
	}
	return s, b[begin+1 : end], nil
}

func (s *Stat) set(field int, number []byte) {
	switch field {
	case fieldParent:
		s.Parent = int(min(Saturated(number), math.MaxInt32))
	case fieldFlags:
		s.Flags = Saturated(number)
	case fieldFaults:
		s.MajorFaults = Saturated(number)
	case fieldUTime, fieldSTime:
		s.CPU = Sum(s.CPU, Saturated(number))
	case fieldThreads:
		s.Threads = int(min(Saturated(number), math.MaxInt32))
	case fieldStart:
		s.Start = Saturated(number)
	case fieldRSS:
		s.Resident = Saturated(number)
	}
}

// Kernel reports whether the process is a kernel thread.
func (s *Stat) Kernel() bool { return s.Flags&TaskKernel != 0 }
