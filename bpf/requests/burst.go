// SPDX-License-Identifier: Apache-2.0

package requests

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

// A Bursts reads the most connections that wanted to wait in the accept queue of each
// listener at a time, those that the kernel dropped included. It is for one goroutine,
// which may be another one than the Probe's.
type Bursts struct {
	probe   *Probe
	reading uint32
	inodes  []uint64
	bursts  []requestsBurst
}

// Bursts returns a reader. Only one can be in use.
func (p *Probe) Bursts() *Bursts {
	n := p.objs.Maps[requestsMapBursts].MaxEntries()
	return &Bursts{probe: p, inodes: make([]uint64, n), bursts: make([]requestsBurst, n)}
}

// Read yields the listeners that got connections since the last call: the inode of their
// socket, and the number of connections. What was dropped counts when the next connection
// enters the queue, which can be after the next call.
func (b *Bursts) Read(yield func(inode uint64, connections int)) error {
	var cursor ebpf.MapBatchCursor
	n, err := b.probe.objs.Maps[requestsMapBursts].BatchLookup(&cursor, b.inodes, b.bursts, nil)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("reading bursts of connections: %w", err)
	}
	for i, burst := range b.bursts[:n] {
		if burst.Reading == b.reading && burst.Most > 0 {
			yield(b.inodes[i], int(burst.Most))
		}
	}
	b.reading++
	if err := b.probe.objs.Variables[requestsVarReadings].Set(b.reading); err != nil {
		return fmt.Errorf("beginning to observe bursts of connections: %w", err)
	}
	return nil
}
