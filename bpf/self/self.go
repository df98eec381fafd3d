// SPDX-License-Identifier: Apache-2.0

// Package self reads with eBPF the pid and the start time of its own process, and
// the clocks. Readers of other probes compare them with /proc, to learn whether
// both use the same pids and times.
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

// An Answer is what eBPF reports about its own process.
type Answer struct {
	// PID is the pid in the initial pid namespace, 0 if the iterator did not show
	// the process.
	PID uint32
	// Start is its start time in ns since boot, on the host's clock.
	Start uint64
	// Monotonic and BootTime are the clocks, in ns, when the iterator reached the
	// process.
	Monotonic, BootTime uint64
	// Tasks is the number of threads that the iterator shows. Whole reports whether
	// these are all threads of the host: in a pid namespace an iterator shows only
	// those of the namespace.
	Tasks uint32
	Whole bool
}

// Ask loads the program, runs it once, and unloads it. types is the kernel's BTF if
// another collection uses it too; if it is nil, Ask parses the BTF itself.
func Ask(types *btf.Cache) (Answer, error) {
	if err := support.HasBTF(); err != nil {
		return Answer{}, err
	}
	// Linux 5.10 charges maps to RLIMIT_MEMLOCK. If it cannot be raised, loading reports
	// the error.
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
