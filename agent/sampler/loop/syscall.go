// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/procread"
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
	return procread.CallName(int(nr))
}
