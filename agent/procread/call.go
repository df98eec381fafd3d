// SPDX-License-Identifier: Apache-2.0

// Package procread reads files of /proc that several samplers need and that
// prometheus/procfs does not parse: in which system call a thread sleeps, what an epoll
// instance watches, and the TCP sockets of another network namespace.
package procread

import (
	"os"
	"strconv"
	"strings"

	"github.com/elastic/go-seccomp-bpf/arch"
)

// A Call is a system call in which a thread sleeps.
type Call struct {
	Number int
	Args   []uint64 // as the thread passed them
}

// callArguments is the number of arguments of a system call.
const callArguments = 6

// ReadCall reads the syscall file of a thread. ok is false if the thread is running, is
// another user's, or sleeps outside of a system call, and if the kernel has no such file
// (proc_pid_syscall in fs/proc/base.c, CONFIG_HAVE_ARCH_TRACEHOOK).
//
//	232 0x5 0x7f… 0x400 0xffffffffffffffff 0x0 0x8 0x7ffe… 0x7f12…
//	running
//	-1 0x7ffe… 0x7f12…
func ReadCall(path string) (c Call, ok bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return c, false
	}
	fields := strings.Fields(string(text))
	if len(fields) < 1+callArguments {
		return c, false
	}
	if c.Number, err = strconv.Atoi(fields[0]); err != nil || c.Number < 0 {
		return c, false
	}
	for _, f := range fields[1 : 1+callArguments] {
		v, err := strconv.ParseUint(f, 0, 64)
		if err != nil {
			return c, false
		}
		c.Args = append(c.Args, v)
	}
	return c, true
}

// Name returns the name of the call, see CallName.
func (c Call) Name() string { return CallName(c.Number) }

// calls are the system calls of this machine, by number; nil if the library does not know
// the architecture.
var calls = func() map[int]string {
	info, err := arch.GetInfo("")
	if err != nil {
		return nil
	}
	return info.SyscallNumbers
}()

// CallName returns the name of a system call of this machine, or "syscall 1234" if it is
// not known.
func CallName(number int) string {
	if name, ok := calls[number]; ok {
		return name
	}
	return "syscall " + strconv.Itoa(number)
}

// EpollTargets reads the fdinfo file of an epoll instance and returns the descriptors that
// it watches; nil if it cannot be read (ep_show_fdinfo in fs/eventpoll.c).
//
//	tfd:       16 events:       19 data:               10  pos:0 ino:8 sdev:9
func EpollTargets(path string) []int {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var fds []int
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "tfd:" {
			if fd, err := strconv.Atoi(f[1]); err == nil {
				fds = append(fds, fd)
			}
		}
	}
	return fds
}
