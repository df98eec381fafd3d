// SPDX-License-Identifier: Apache-2.0

package files

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/headroom-project/headroom/bpf/support"
)

// makers are the system calls that create descriptors. Those that a kernel lacks are
// skipped. fcntl is not one of them, because most of its calls do something else.
// io_uring creates descriptors without such a call.
var makers = []string{"accept4", "accept", "openat", "openat2", "open", "socket", "socketpair", "pipe2", "pipe", "dup",
	"epoll_create1", "eventfd2", "timerfd_create", "inotify_init1", "memfd_create", "signalfd4"}

// Watch counts calls that fail because no descriptor is free, until Unwatch. In the
// meantime it adds some tens of nanoseconds to each call that creates a descriptor.
func (p *Probe) Watch() error {
	if p.watch != nil {
		return nil
	}
	events, refused := support.OpenSyscalls("exit", makers)
	if refused != nil {
		return refused
	}
	for _, e := range events {
		if err := e.Run(p.objs.OnRefused); err != nil {
			return errors.Join(support.Failed("attaching to system calls", err), support.CloseAll(events))
		}
	}
	p.watch = events
	return nil
}

// Watching reports whether refused calls are being counted.
func (p *Probe) Watching() bool { return p.watch != nil }

// Unwatch ends Watch. It keeps the counts.
func (p *Probe) Unwatch() error {
	err := support.CloseAll(p.watch)
	p.watch = nil
	return err
}

// ReadRefused yields the number of refused calls of each process while Watch was
// active. If yield returns false, the count of that process is deleted.
func (p *Probe) ReadRefused(yield func(tgid uint32, calls uint64) bool) error {
	var gone []uint32
	var tgid uint32
	var calls uint64
	entries := p.objs.Refused.Iterate()
	for entries.Next(&tgid, &calls) {
		if !yield(tgid, calls) {
			gone = append(gone, tgid)
		}
	}
	if err := entries.Err(); err != nil && !errors.Is(err, ebpf.ErrIterationAborted) {
		return fmt.Errorf("reading refused calls: %w", err)
	}
	for _, tgid := range gone {
		if err := p.objs.Refused.Delete(&tgid); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("forgetting a process: %w", err)
		}
	}
	return nil
}
