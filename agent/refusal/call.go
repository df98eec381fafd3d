// SPDX-License-Identifier: Apache-2.0

package refusal

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// A Call is a system call that takes privileges.
type Call struct {
	name   string
	config string // the option of kernels that have it
	needs  []Capability
	// probe makes the call with an argument that every kernel rejects with EINVAL
	// after it has checked that the call is allowed at all.
	probe func() error
}

var (
	// LoadPrograms is bpf(2), for programs that trace.
	LoadPrograms = &Call{"bpf(2)", "CONFIG_BPF_SYSCALL=y", []Capability{BPF, Perfmon}, func() error {
		_, _, errno := unix.Syscall(unix.SYS_BPF, 1<<20, 0, 0)
		return errno
	}}
	// OpenTracepoints is perf_event_open(2).
	OpenTracepoints = &Call{"perf_event_open(2)", "CONFIG_PERF_EVENTS=y", []Capability{Perfmon}, func() error {
		_, _, errno := unix.Syscall6(unix.SYS_PERF_EVENT_OPEN, 0, 0, 0, ^uintptr(0), 1<<30, 0)
		return errno
	}}
)

// Explain returns why the call failed with err. It is nil where err is about the
// arguments of the call, such as a program that the verifier rejects.
func (c *Call) Explain(err error) *Refusal {
	if r := Limit(err); r != nil {
		return r
	}
	return c.explain(err, Own(), c.probe())
}

func (c *Call) explain(err error, own Privileges, probed error) *Refusal {
	denied := errors.Is(err, fs.ErrPermission)
	switch {
	case errors.Is(err, unix.ENOSYS) && !own.Seccomp:
		return &Refusal{"the kernel has no " + c.name, "use a kernel built with " + c.config}
	case errors.Is(err, unix.ENOSYS), denied && own.Seccomp && notMade(probed) && own.lacks(c.name, c.needs) == nil:
		return &Refusal{
			Reason: fmt.Sprintf("a seccomp filter refuses %s (%v)", c.name, cause(err)),
			Fix:    "allow bpf and perf_event_open in the seccomp profile: SystemCallFilter= of a systemd unit, docker run --security-opt seccomp=PROFILE, or securityContext.seccompProfile of a pod",
		}
	case !denied:
		return nil
	}
	return own.lacks(c.name, c.needs)
}

// notMade reports whether the probe of a call was refused before the kernel looked at
// its arguments.
func notMade(probed error) bool {
	return errors.Is(probed, unix.EPERM) || errors.Is(probed, unix.EACCES) || errors.Is(probed, unix.ENOSYS)
}

// Denied is the Refusal of a call that is not permitted although the privileges
// for it are held.
func Denied(what string) *Refusal {
	return &Refusal{
		Reason: what + " is not permitted, although headroom has the capabilities for it",
		Fix:    "look for what denies it, a security module or kernel lockdown: dmesg | tail -50, ausearch -m avc, cat /sys/kernel/security/lockdown",
	}
}

// cause is the error number in err.
func cause(err error) error {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}
