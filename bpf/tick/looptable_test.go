// SPDX-License-Identifier: Apache-2.0

package tick

import (
	"testing"
	"unsafe"
)

// TestGuestLoopTable checks that a small part of the array is mapped first, more
// when it is needed, and that the mapping shows the kernel's memory.
func TestGuestLoopTable(t *testing.T) {
	p := open(t, Options{})
	table := loopTable{fd: p.loops.fd, entry: p.loops.entry, max: p.loops.max}
	defer func() {
		if err := table.close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := table.at(1); err != nil {
		t.Fatal(err)
	}
	if got, want := len(table.mapped), firstLoops*table.entry; got != want {
		t.Errorf("%d bytes are mapped, want %d", got, want)
	}
	const far = 3000 // beyond the loops of this host
	written := tickLoop{Epfd: 42}
	if err := p.objs.Loops.Put(uint32(far), unsafe.Slice((*byte)(unsafe.Pointer(&written)), unsafe.Sizeof(written))); err != nil {
		t.Fatal(err)
	}
	entry, err := table.at(far)
	if err != nil {
		t.Fatal(err)
	}
	if got := (*tickLoop)(unsafe.Pointer(&entry[0])).Epfd; got != written.Epfd {
		t.Errorf("entry %d has %d, want %d", far, got, written.Epfd)
	}
	if n := len(table.mapped); n < (far+1)*table.entry || n >= table.max*table.entry {
		t.Errorf("%d bytes are mapped of %d for entry %d", n, table.max*table.entry, far)
	}
	if _, err := table.at(uint32(table.max)); err == nil {
		t.Error("an entry past the last one was returned without an error")
	}
}
