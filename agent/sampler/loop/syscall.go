// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"strconv"

	"github.com/elastic/go-seccomp-bpf/arch"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/bpf/tick"
)

// syscall returns the entity of a system call.
func (r *reader) syscall(nr int32) observe.ID {
	id, ok := r.calls[nr]
	if !ok {
		id = r.host.Index.ID(observe.Entity{Kind: observe.Syscall, ID: callName(nr)})
		r.calls[nr] = id
	}
	return id
}

// native is the table of system calls of this machine; empty if the library does
// not know the architecture.
var native = func() map[int]string {
	info, err := arch.GetInfo("")
	if err != nil {
		return nil
	}
	return info.SyscallNumbers
}()

// callName returns the name of a system call, or of what stopped a loop outside of
// one.
func callName(nr int32) string {
	switch nr {
	case tick.CallFault:
		return "page fault"
	case tick.CallStopped:
		return "stopped by a signal, a debugger or the freezer"
	case tick.CallOther:
		return "other calls"
	}
	if name, ok := native[int(nr)]; ok {
		return name
	}
	return "syscall " + strconv.Itoa(int(nr))
}
