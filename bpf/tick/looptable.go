// SPDX-License-Identifier: Apache-2.0

package tick

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// firstLoops is how many loops there is room for at first: few hosts have more
// than some hundred.
const firstLoops = 128

// A loopTable is the loops' array in our memory, as far as it is in use. The
// kernel maps every page of such an array at once, and each counts as ours: all
// 8192 entries are 14 MiB (kernel/bpf/arraymap.c, array_map_mmap).
type loopTable struct {
	fd         int // of the map
	entry, max int // bytes of an entry, and number of them
	mapped     []byte
}

// at returns entry i. It is valid until the next call.
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

// grow maps the array anew, up to end at least.
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
