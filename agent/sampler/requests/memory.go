// SPDX-License-Identifier: Apache-2.0

package requests

import "golang.org/x/sys/unix"

// readMemory reads the memory of a process; false if not all of it can be read. It waits
// for the lock on that memory, so that callers ask with patience.
func readMemory(pid int, at uint64, into []byte) bool {
	local := []unix.Iovec{{Base: &into[0], Len: uint64(len(into))}}
	remote := []unix.RemoteIovec{{Base: uintptr(at), Len: len(into)}}
	n, err := unix.ProcessVMReadv(pid, local, remote, 0)
	return err == nil && n == len(into)
}
