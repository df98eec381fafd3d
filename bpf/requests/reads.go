// SPDX-License-Identifier: Apache-2.0

package requests

import (
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"github.com/cilium/ebpf/ringbuf"
)

// Reads counts the calls of one upstream by what their statements do. What is in no field,
// such as a read in a transaction, neither reads what a cache could have nor writes.
type Reads struct {
	// Calls are the answered reads outside of transactions whose statements, with their
	// values, were read to their end, and Time the sum of the times until their answers
	// arrived. A cache could have the answers.
	Calls uint64
	Time  time.Duration
	// Writes are sent calls that write to a table. Unclear are those that can write
	// anything: procedures, several statements at once, and statements that were prepared
	// before Open.
	Writes, Unclear uint64
	// Lost are the calls in the sample that ReadReads does not yield, because it was
	// called too rarely.
	Lost uint64
}

// A Read is a call that Reads.Calls counts and that is in the sample.
type Read struct {
	// Upstream is the Number of its Upstream.
	Upstream uint32
	// Key is a hash of the statement with its values, keyed with a secret of the probe: two
	// calls with the same one ask the same.
	Key uint64
	// Version changes when a process of this host writes to a table that the statement
	// reads.
	Version uint64
	// At is when the answer was read, since boot, Time that until it arrived, and Bytes its
	// size.
	At, Time time.Duration
	Bytes    uint32
}

// openReads opens the ring of reads.
func (u *upstreams) openReads(p *Probe) (err error) {
	if u.reads, err = ringbuf.NewReader(p.objs.Maps[requestsMapReads]); err != nil {
		return fmt.Errorf("opening the ring of reads: %w", err)
	}
	u.reads.SetDeadline(time.Unix(1, 0)) // In the past: reading never blocks.
	return nil
}

// Sample sets the hash below which reads of an upstream are in the sample. None is at
// first.
func (p *Probe) Sample(upstream uint32, below uint64) error {
	return p.objs.Maps[requestsMapSamples].Put(upstream, below)
}

// ReadReads yields the reads of the samples since the last call, in the order of their
// answers. It does not wait for more, and returns after what the ring can hold even if more
// arrive meanwhile. It is for the goroutine that calls ReadUpstreams.
func (p *Probe) ReadReads(yield func(Read)) error {
	u := &p.upstreams
	for left := u.reads.BufferSize(); left > 0 && u.reads.AvailableBytes() > 0; left -= len(u.record.RawSample) {
		err := u.reads.ReadInto(&u.record)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the sample of reads: %w", err)
		}
		if uintptr(len(u.record.RawSample)) < unsafe.Sizeof(requestsRead{}) {
			return fmt.Errorf("reading the sample of reads: a record of %d bytes", len(u.record.RawSample))
		}
		r := (*requestsRead)(unsafe.Pointer(&u.record.RawSample[0]))
		yield(Read{Upstream: r.Slot, Key: r.Key, Version: r.Version, At: time.Duration(r.At), Time: time.Duration(r.Ns), Bytes: r.Bytes})
	}
	return nil
}
