// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"fmt"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

// besideHeap is the anonymous memory that a process has in addition to a full heap
// (heap-limit-mismatch): stacks, buffers and the young generation.
const besideHeap = 32 << 20

// outsideTools maps a runtime to what its memory outside of the heap is, and how to see
// it. Go's limit includes all memory of its runtime.
var outsideTools = map[string]string{
	"node": "Buffers and native add-ons (process.memoryUsage().external and .arrayBuffers)",
	"bun":  "Buffers and native add-ons (process.memoryUsage().external)",
	"deno": "buffers and native libraries (Deno.memoryUsage().external)",
	"jvm":  "direct buffers, threads and native libraries (-XX:NativeMemoryTracking=summary, jcmd VM.native_memory)",
}

// A BoundedHeap is a process with a heap limit that is too low to explain its memory.
type BoundedHeap struct {
	// Limit is the maximum of the heap, and Outside the least memory outside of it, in
	// bytes.
	Limit, Outside float64
	// Holds names what is outside.
	Holds string
}

// OutsideHeap compares the memory that a process holds, or will hold, with its heap
// limit; ok is false if its heap can explain that memory, or has no known limit.
func (p *Pass) OutsideHeap(process observe.ID, holds float64) (b BoundedHeap, ok bool) {
	limit, known := p.Last(catalog.ProcessHeapLimit, process)
	if !known {
		limit, known = p.Last(catalog.ProcessHeapLimitDefault, process)
	}
	what := outsideTools[p.Attr(process, catalog.AttrRuntime)]
	if !known || limit <= 0 || what == "" {
		return BoundedHeap{}, false
	}
	b = BoundedHeap{Limit: limit, Outside: holds - limit - besideHeap, Holds: what}
	return b, b.Outside > 0
}

// String completes "its memory is …".
func (b BoundedHeap) String() string {
	return fmt.Sprintf("at least %s outside of its heap, whose maximum is %s", analysis.Bytes(b.Outside), analysis.Bytes(b.Limit))
}
