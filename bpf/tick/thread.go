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
	User, System     uint64 // by the kernel's timer tick: coarser than CPU
	RunDelay         uint64 // runnable, but not on a CPU: run queue and throttling together
	Runs             uint64 // times it got a CPU
	Voluntary        uint64 // context switches
	Involuntary      uint64
	ExitedThreadsCPU uint64 // CPU of the process's threads that have exited; on the leader only
	MajorFaults      uint64 // on the leader including threads that have exited, as are the next two
	DiskRead         uint64 // bytes, 0 without CONFIG_TASK_IO_ACCOUNTING
	DiskWritten      uint64
	Memory           Pages // of the process; on the leader only
	DiskWait         bool  // sleeping in disk I/O
	State            byte  // R S D T Z I X as in /proc/PID/stat
	Kernel           bool
	LastCPU          uint32
	comm             [16]int8
}

// Pages of a process, as lib/mm.bpf.h reads them: slightly out of date. All are 0
// after it released its memory, as when a leader exited before its threads.
type Pages struct {
	File, Anon, Swap, Shmem uint64
	Peak                    uint64 // the maximum of File, Anon and Shmem together
}

// Comm returns the name of the thread. It allocates.
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

// eachThread reads records. A read can end in the middle of a record.
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

// pages returns a count, which can be negative because CPUs change it while it is read.
func pages(n int64) uint64 { return uint64(max(n, 0)) }

// memory corrects the peak: the kernel updates it only before pages are released
// (update_hiwater_rss in include/linux/mm.h).
func memory(v *tickThread) Pages {
	m := Pages{File: pages(v.FilePages), Anon: pages(v.AnonPages), Swap: pages(v.SwapPages), Shmem: pages(v.ShmemPages)}
	m.Peak = max(v.PeakPages, m.File+m.Anon+m.Shmem)
	return m
}

// stateLetter returns a state as /proc shows it; the bits are those of
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
