// SPDX-License-Identifier: Apache-2.0

// Package support has the code that all probes share: the error for a kernel or
// privileges that do not allow a probe, and attaching to tracepoints with perf
// events. It has no eBPF program.
package support

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/refusal"
)

// ErrNotSupported means that this host or these privileges do not allow a probe.
// Errors that match it are of type Unsupported.
var ErrNotSupported = errors.New("not supported here")

// Unsupported reports what is missing and how to fix it.
type Unsupported struct {
	Reason, Cure string
	Err          error // the kernel's error, if there was one
}

func (u *Unsupported) Error() string {
	if u.Cure == "" {
		return u.Reason
	}
	return u.Reason + ": " + u.Cure
}

// Is makes errors.Is(err, ErrNotSupported) true.
func (u *Unsupported) Is(target error) bool { return target == ErrNotSupported }

// Unsupported returns both parts to callers that do not import this package.
func (u *Unsupported) Unsupported() (reason, cure string) { return u.Reason, u.Cure }

// Unwrap returns the kernel's error.
func (u *Unsupported) Unwrap() error { return u.Err }

const kernelBTF = "/sys/kernel/btf/vmlinux"

// Kernel returns the types of the running kernel, or an Unsupported.
func Kernel(types *btf.Cache) (*btf.Spec, error) {
	if err := HasBTF(); err != nil {
		return nil, err
	}
	spec, err := types.Kernel()
	if err != nil {
		return nil, Failed("kernel BTF cannot be read", err)
	}
	return spec, nil
}

// HasBTF returns an Unsupported if the types of the kernel cannot be read.
func HasBTF() error {
	f, err := os.Open(kernelBTF)
	if err == nil {
		return f.Close()
	}
	if r := cmp.Or(refusal.Limit(err), refusal.Hidden(kernelBTF)); r != nil {
		return &Unsupported{Reason: r.Reason, Cure: r.Fix, Err: err}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return &Unsupported{Reason: "kernel BTF cannot be read: " + err.Error(), Err: err}
	}
	return &Unsupported{Reason: "no kernel BTF (" + kernelBTF + ")", Cure: "use a kernel built with CONFIG_DEBUG_INFO_BTF=y", Err: err}
}

// Refused returns the reason if bpf(2) failed with err because of a limit, a missing
// privilege, or a filter of system calls. Otherwise, for example if the verifier
// rejects the program, it returns nil.
func Refused(err error) *Unsupported {
	r := refusal.LoadPrograms.Explain(err)
	if r == nil && errors.Is(err, unix.EPERM) {
		r = lockedMemory()
	}
	if r == nil {
		return nil
	}
	return &Unsupported{Reason: r.Reason, Cure: r.Fix, Err: err}
}

// lockedMemory returns the Refusal for a process that has the privileges for eBPF.
// Before Linux 5.11, maps count against RLIMIT_MEMLOCK.
func lockedMemory() *refusal.Refusal {
	if rlimit.RemoveMemlock() == nil {
		return refusal.Denied("eBPF")
	}
	return &refusal.Refusal{
		Reason: "the limit of locked memory (RLIMIT_MEMLOCK) is too low for eBPF on this kernel",
		Fix:    "ulimit -l unlimited, LimitMEMLOCK=infinity in a systemd unit, docker run --ulimit memlock=-1, or grant " + refusal.SysResource.Name,
	}
}

// Failed returns the Unsupported for an attempt that failed with err. It names the
// attempt if Refused has no better explanation.
func Failed(attempt string, err error) *Unsupported {
	if u := Refused(err); u != nil {
		return u
	}
	return &Unsupported{Reason: attempt + ": " + ShortError(err), Err: err}
}

// ShortError returns the text of err without the verifier's log.
func ShortError(err error) string {
	var v *ebpf.VerifierError
	if errors.As(err, &v) {
		return fmt.Sprintf("%v", v.Cause)
	}
	return err.Error()
}
