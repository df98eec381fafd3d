// SPDX-License-Identifier: Apache-2.0

package tick

import (
	"errors"
	"fmt"
	"os"
	"unsafe"
)

// Stall is one tick longer than Options.StallThreshold. Times are ns.
type Stall struct {
	Tgid, Tid   uint32
	ThreadStart uint64 // ns since boot, as Loop.Start
	Epfd        int32
	Start       uint64 // CLOCK_MONOTONIC
	Busy        uint64
	Wake        uint64 // run-queue delay before it started
	Parts              // of Busy
	Longest     Call   // the system call with the longest time blocked; Times 0: none
	NestedWaits uint32
}

// ReadStalls yields the stalls since the last call. It does not wait for more.
func (p *Probe) ReadStalls(yield func(*Stall)) error {
	var s Stall
	for p.stalls.AvailableBytes() > 0 {
		err := p.stalls.ReadInto(&p.record)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading stalls: %w", err)
		}
		if uintptr(len(p.record.RawSample)) < unsafe.Sizeof(tickStall{}) {
			return fmt.Errorf("reading stalls: a record of %d bytes", len(p.record.RawSample))
		}
		fillStall(&s, (*tickStall)(unsafe.Pointer(&p.record.RawSample[0])))
		yield(&s)
	}
	return nil
}

func fillStall(s *Stall, v *tickStall) {
	*s = Stall{
		Tgid: v.Tgid, Tid: v.Tid, ThreadStart: v.StartBoottime, Epfd: v.Epfd,
		Start: v.Start, Busy: v.Busy, Wake: v.Wake,
		Parts:       makeParts(v.Busy, v.Parts),
		Longest:     makeCall(v.Longest),
		NestedWaits: v.NestedWaits,
	}
}
