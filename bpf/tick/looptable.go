// SPDX-License-Identifier: Apache-2.0

package tick

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// firstLoops is the initial size of the mapping, in loops: few hosts have more
// than a few hundred.
const firstLoops = 128

// A loopTable maps the used part of the array of loops. The kernel maps every
// page of such an array at once, and each counts as memory of this process: all
// 8192 entries are 14 MiB (kernel/bpf/arraymap.c, array_map_mmap).
type loopTable struct {
	fd         int // of the map
	entry, max int // bytes of an entry, and number of them
	mapped     []byte
}

// at returns entry i, which is valid until the next call.
func (t *loopTable) at(i uint32) ([]byte, error) {
	if int(i) >= t.max {
		return nil, fmt.Errorf("loop %d of %d", i, t.max)
	}
	if end := (int(i) + 1) * t.entry; end > len(t.mapped) {
		if err := t.grow(end); err != nil {
			return nil, fmt.Errorf("mapping loops: %w", err)
		}
	}
	return t.mapped[int(i)*t.entry:][:t.entry], nil
}

// grow maps the array again, up to at least end.
func (t *loopTable) grow(end int) error {
	size := max(firstLoops*t.entry, len(t.mapped))
	for size < end {
		size *= 2
	}
	mapped, err := unix.Mmap(t.fd, 0, min(size, t.max*t.entry), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	old := t.mapped
	t.mapped = mapped
	return unmap(old)
}

func (t *loopTable) close() error {
	old := t.mapped
	t.mapped = nil
	return unmap(old)
}

func unmap(b []byte) error {
	if b == nil {
		return nil
	}
	return unix.Munmap(b)
}
