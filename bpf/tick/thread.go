// SPDX-License-Identifier: Apache-2.0

package tick

import (
	"errors"
	"fmt"
	"io"
	"unsafe"

	"github.com/headroom-project/headroom/bpf/support"
)

// Thread is one thread of the host. Counters are cumulative since it started;
// durations are ns.
type Thread struct {
	Tgid, Tid        uint32
	Start            uint64 // ns since boot; field 22 of /proc/PID/stat in finer units
	CPU              uint64
	User, System     uint64 // by the kernel's tick: coarser than CPU
	RunDelay         uint64 // runnable, but not on a CPU: run queue and throttling together
	Runs             uint64 // times it got a CPU
	Voluntary        uint64 // context switches
	Involuntary      uint64
	ExitedThreadsCPU uint64 // CPU of the process' threads that have exited; on the leader only
	MajorFaults      uint64 // with those of the process' threads that have exited on the leader, as the next two
	DiskRead         uint64 // bytes, 0 without CONFIG_TASK_IO_ACCOUNTING
	DiskWritten      uint64
	Memory           Pages // of the process; on the leader only
	DiskWait         bool  // sleeps until a disk answers
	State            byte  // R S D T Z I X as in /proc/PID/stat
	Kernel           bool
	LastCPU          uint32
	comm             [16]int8
}

// Pages of a process, as lib/mm.bpf.h reads them: a little behind. All are 0
// when it has given up its memory, as a leader has that ended before its threads.
type Pages struct {
	File, Anon, Swap, Shmem uint64
	Peak                    uint64 // the most that it had of File, Anon and Shmem together
}

// Comm is the name of the thread. It allocates.
func (t *Thread) Comm() string {
	var b [16]byte
	for i, c := range t.comm {
		if c == 0 {
			return string(b[:i])
		}
		b[i] = byte(c)
	}
	return string(b[:])
}

const threadSize = int(unsafe.Sizeof(tickThread{}))

// ReadThreads yields every thread of the host in one pass. The Thread is reused.
func (p *Probe) ReadThreads(yield func(*Thread)) error {
	if p.threads == nil {
		return &support.Unsupported{Reason: "no task iterator", Cure: "use Linux 5.8 or later with BTF"}
	}
	r, err := p.threads.Open()
	if err != nil {
		return fmt.Errorf("iterating over threads: %w", err)
	}
	defer r.Close()
	if p.threadBuf == nil {
		p.threadBuf = make([]byte, 256*threadSize)
	}
	if err := eachThread(r, p.threadBuf, yield); err != nil {
		return fmt.Errorf("iterating over threads: %w", err)
	}
	return nil
}

// eachThread reads records, which the kernel cuts anywhere.
func eachThread(r io.Reader, buf []byte, yield func(*Thread)) error {
	var t Thread
	for {
		n, err := io.ReadFull(r, buf)
		for b := buf[:n]; len(b) >= threadSize; b = b[threadSize:] {
			fillThread(&t, (*tickThread)(unsafe.Pointer(&b[0])))
			yield(&t)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func fillThread(t *Thread, v *tickThread) {
	const kthread = 0x00200000 // PF_KTHREAD
	*t = Thread{
		Tgid: v.Tgid, Tid: v.Tid, Start: v.StartBoottime,
		CPU: v.Cpu, User: v.Utime, System: v.Stime, RunDelay: v.RunDelay, Runs: v.Pcount,
		Voluntary: v.Nvcsw, Involuntary: v.Nivcsw, ExitedThreadsCPU: v.ExitedCpu,
		MajorFaults: v.MajorFaults, DiskRead: v.DiskRead, DiskWritten: v.DiskWritten, DiskWait: v.DiskWait != 0,
		Memory: memory(v),
		State:  stateLetter(v.State, v.ExitState), Kernel: v.Flags&kthread != 0,
		LastCPU: v.LastCpu, comm: v.Comm,
	}
}

// pages is a count that is read while CPUs change it, and then can be below 0.
func pages(n int64) uint64 { return uint64(max(n, 0)) }

// memory adds what the kernel leaves out of the peak: it only writes it down
// before pages are given back (update_hiwater_rss in include/linux/mm.h).
func memory(v *tickThread) Pages {
	m := Pages{File: pages(v.FilePages), Anon: pages(v.AnonPages), Swap: pages(v.SwapPages), Shmem: pages(v.ShmemPages)}
	m.Peak = max(v.PeakPages, m.File+m.Anon+m.Shmem)
	return m
}

// stateLetter says a state as /proc does; the bits are those of
// include/linux/sched.h since 4.14.
func stateLetter(state, exit uint32) byte {
	const idle = 0x402 // TASK_IDLE
	switch {
	case exit&0x10 != 0:
		return 'X'
	case exit&0x20 != 0:
		return 'Z'
	case state == 0:
		return 'R'
	case state&idle == idle:
		return 'I'
	case state&0x1 != 0:
		return 'S'
	case state&0x2 != 0:
		return 'D'
	case state&0xc != 0:
		return 'T'
	}
	return 'S'
}
