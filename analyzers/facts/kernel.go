// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

const (
	// sampledCPU is the CPU time, in seconds, from which its share in the kernel is
	// known: the kernel samples it at its timer tick, 100 to 1000 times per second.
	sampledCPU = 0.5
	// mostlyLong is the share of a thread's CPU time that long ticks must have, so that
	// the thread's share in the kernel is valid for them.
	mostlyLong = 0.5
)

// KernelShare returns the share of the CPU time of a loop's long ticks that was in the
// kernel. It is the share of the loop's thread. It is not known if short ticks have most
// of the CPU time, or if there are too few samples.
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
