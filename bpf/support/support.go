// SPDX-License-Identifier: Apache-2.0

// Package support is what probes share: how they say that a kernel or its
// privileges do not allow them, and how they attach to tracepoints by perf
// events. It has no program of its own.
package support

import (
	"errors"
	"os"

	"github.com/cilium/ebpf/btf"
)

// ErrNotSupported says that this host or these privileges do not allow a
// probe. The error that matches it is an Unsupported.
var ErrNotSupported = errors.New("not supported here")

// Unsupported says what is missing and what cures it.
type Unsupported struct {
	Reason, Cure string
	Err          error // what the kernel said, if it was asked
}

func (u *Unsupported) Error() string {
	if u.Cure == "" {
		return u.Reason
	}
	return u.Reason + ": " + u.Cure
}

// Is makes errors.Is(err, ErrNotSupported) true.
func (u *Unsupported) Is(target error) bool { return target == ErrNotSupported }

// Unsupported hands both out to whoever knows no probe.
func (u *Unsupported) Unsupported() (reason, cure string) { return u.Reason, u.Cure }

// Unwrap returns what the kernel said.
func (u *Unsupported) Unwrap() error { return u.Err }

const kernelBTF = "/sys/kernel/btf/vmlinux"

// Kernel returns the types of the running kernel, or an Unsupported.
func Kernel(types *btf.Cache) (*btf.Spec, error) {
	if err := HasBTF(); err != nil {
		return nil, err
	}
	spec, err := types.Kernel()
	if err != nil {
		return nil, &Unsupported{Reason: "kernel BTF cannot be read: " + err.Error(), Err: err}
	}
	return spec, nil
}

// HasBTF returns an Unsupported where the kernel tells nothing of its types.
func HasBTF() error {
	if _, err := os.Stat(kernelBTF); err != nil {
		return &Unsupported{Reason: "no kernel BTF (" + kernelBTF + ")", Cure: "use a kernel built with CONFIG_DEBUG_INFO_BTF=y"}
	}
	return nil
}

// Refused is the Unsupported of a load that failed for want of privileges.
func Refused(err error) error {
	return &Unsupported{
		Reason: "eBPF is refused (operation not permitted)",
		Cure:   "run as root, or with CAP_BPF and CAP_PERFMON (before Linux 5.11 CAP_SYS_RESOURCE too)",
		Err:    err,
	}
}
