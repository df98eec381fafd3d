// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

const (
	// sampledCPU is the CPU time, in seconds, from which its share in the kernel is
	// known: the timer tick of the kernel samples it 100 to 1000 times a second.
	sampledCPU = 0.5
	// mostlyLong is the share of a thread's CPU time that long ticks must have to be
	// what its share in the kernel is about.
	mostlyLong = 0.5
)

// KernelShare returns which share of the time that the long ticks of a loop ran on the
// CPU was in the kernel. It is that of the loop's thread, and not known where
// short ticks have most of its CPU time, or where too little of it was sampled.
func (p *Pass) KernelShare(l *LoopView) (share float64, ok bool) {
	thread, ok := p.Index.Find(observe.Entity{Kind: observe.Thread, ID: p.Index.Entity(l.ID).ID})
	if !ok {
		return 0, false
	}
	system, known := p.Increase(catalog.ThreadSystem, thread)
	used, measured := p.Increase(catalog.ThreadCPU, thread)
	if !known || !measured || used < sampledCPU || l.Long.CPU < mostlyLong*used {
		return 0, false
	}
	return min(1, system/used), true
}
