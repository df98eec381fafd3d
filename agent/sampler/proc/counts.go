// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"os"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/bpf/tick"
)

var pageSize = float64(os.Getpagesize())

// counts holds what the kernel counted for a process, as far as the source of this
// reading provides it.
type counts struct {
	resident uint64 // pages, 0 if not known

	anon, swap, peak uint64 // pages
	anonKnown        bool   // also of swap and peak

	faults      uint64
	faultsKnown bool

	read, written uint64 // bytes
	waiting       int    // threads
	ioKnown       bool
}

// add adds the record of one thread; the leader's record also has the values of the
// process.
func (c *counts) add(t *tick.Thread, io bool) {
	c.faults, c.faultsKnown = sampler.Sum(c.faults, t.MajorFaults), true
	c.read, c.written, c.ioKnown = sampler.Sum(c.read, t.DiskRead), sampler.Sum(c.written, t.DiskWritten), io
	if t.DiskWait {
		c.waiting++
	}
	m := &t.Memory
	if resident := m.File + m.Anon + m.Shmem; resident > 0 || m.Swap > 0 {
		c.resident, c.anon, c.swap, c.peak, c.anonKnown = resident, m.Anon, m.Swap, m.Peak, true
	}
}

func (c *counts) write(s *observe.Snapshot, p *process) {
	if p.kernel {
		return
	}
	if c.resident > 0 {
		s.Set(catalog.ProcessMemory, p.id, float64(c.resident)*pageSize)
	}
	if c.anonKnown {
		s.Set(catalog.ProcessAnon, p.id, float64(c.anon)*pageSize)
		s.Set(catalog.ProcessSwap, p.id, float64(c.swap)*pageSize)
		s.Set(catalog.ProcessMemoryPeak, p.id, float64(c.peak)*pageSize)
	}
	if c.faultsKnown {
		s.Set(catalog.ProcessMajorFaults, p.id, float64(c.faults))
	}
	if c.ioKnown {
		s.Set(catalog.ProcessDiskRead, p.id, float64(c.read))
		s.Set(catalog.ProcessDiskWritten, p.id, float64(c.written))
		s.Set(catalog.ProcessDiskWaiting, p.id, float64(c.waiting))
	}
}
