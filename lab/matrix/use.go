// SPDX-License-Identifier: Apache-2.0

package main

import (
	"syscall"
	"time"

	"github.com/prometheus/procfs"
)

// A use is the CPU usage of the host during an observation.
type use struct {
	stolen float64 // share of the CPU time that the hypervisor took
	others float64 // cores used by programs that the cell did not start
}

// othersMatter is the CPU usage of other programs, in cores. At this usage or above, a
// finding about one of them is neither right nor false: on a shared machine they may
// have real problems.
const othersMatter = 0.1

// A reading has CPU times in seconds since the boot of the host.
type reading struct{ stolen, busy, ours float64 }

// readUse reads the CPU times of the host, of the programs of the cell, and of the
// load and headroom.
func (g *stage) readUse() (reading, error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return reading{}, err
	}
	stat, err := fs.Stat()
	if err != nil {
		return reading{}, err
	}
	all := stat.CPUTotal
	r := reading{stolen: all.Steal, busy: all.User + all.Nice + all.System + all.IRQ + all.SoftIRQ}
	for _, srv := range []*server{g.srv, g.others} {
		if srv == nil {
			continue
		}
		used, err := srv.group.Used()
		if err != nil {
			return r, err
		}
		r.ours += used.Seconds()
	}
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var used syscall.Rusage
		if err := syscall.Getrusage(who, &used); err != nil {
			return r, err
		}
		r.ours += time.Duration(used.Utime.Nano() + used.Stime.Nano()).Seconds()
	}
	return r, nil
}

func (r reading) until(next reading, lasting time.Duration) use {
	seconds := lasting.Seconds()
	return use{
		stolen: (next.stolen - r.stolen) / seconds / float64(cores()),
		others: max(0, (next.busy-r.busy-next.ours+r.ours)/seconds),
	}
}
