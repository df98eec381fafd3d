// SPDX-License-Identifier: Apache-2.0

// Package self asks eBPF about the process that asks: its pid and start time, and
// what the clocks say. Whoever reads pids and times of other probes compares the
// answer with what /proc says of the same process.
package self

import (
	"fmt"
	"io"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"

	"github.com/headroom-project/headroom/bpf/support"
)

// An Answer is what eBPF says of the process that asked.
type Answer struct {
	// PID is that of the initial pid namespace, 0 where the iterator did not show
	// the process.
	PID uint32
	// Start is when it started, in ns since boot, of the host's clock.
	Start uint64
	// Monotonic and BootTime are the clocks, in ns, when the process was passed.
	Monotonic, BootTime uint64
	// Tasks is how many threads the iterator shows. Whole says that they are those
	// of the host: in a pid namespace an iterator shows those of the namespace.
	Tasks uint32
	Whole bool
}

// Ask loads a program, asks once, and unloads it. types is the kernel's BTF where
// another collection parses it too; nil parses it for this alone.
func Ask(types *btf.Cache) (Answer, error) {
	if err := support.HasBTF(); err != nil {
		return Answer{}, err
	}
	// 5.10 charges maps to RLIMIT_MEMLOCK; if raising it is refused, loading says so.
	_ = rlimit.RemoveMemlock()
	if types == nil {
		types = btf.NewCache()
	}
	var objs selfObjects
	err := loadSelfObjects(&objs, &ebpf.CollectionOptions{Cache: types})
	if err != nil {
		return Answer{}, support.Failed("the kernel refuses the iterator of tasks, which needs Linux 5.10 with BTF", err)
	}
	defer objs.Close() //nolint:errcheck // nothing is written
	return ask(&objs)
}

func ask(objs *selfObjects) (Answer, error) {
	it, err := link.AttachIter(link.IterOptions{Program: objs.Ask})
	if err != nil {
		return Answer{}, support.Failed("attaching the iterator of tasks", err)
	}
	defer it.Close() //nolint:errcheck // nothing is written
	pass, err := it.Open()
	if err != nil {
		return Answer{}, fmt.Errorf("iterating over tasks: %w", err)
	}
	defer pass.Close() //nolint:errcheck // read only
	if _, err := io.Copy(io.Discard, pass); err != nil {
		return Answer{}, fmt.Errorf("iterating over tasks: %w", err)
	}
	var a selfAnswer
	if err := objs.Says.Get(&a); err != nil {
		return Answer{}, fmt.Errorf("reading what eBPF says of this process: %w", err)
	}
	return Answer{PID: a.Pid, Start: a.StartBoottime, Monotonic: a.Monotonic, BootTime: a.Boottime,
		Tasks: a.Tasks, Whole: a.Whole != 0}, nil
}
