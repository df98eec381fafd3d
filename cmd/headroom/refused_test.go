// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/elastic/go-seccomp-bpf"
)

// filtered runs a command under a system call filter, as a container engine or systemd
// does: filtered EPERM bpf,perf_event_open headroom check.
func filtered() {
	if err := runFiltered(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "filtered:", err)
		os.Exit(3)
	}
}

func runFiltered(args []string) error {
	errnos := map[string]syscall.Errno{"EPERM": syscall.EPERM, "ENOSYS": syscall.ENOSYS}
	if len(args) < 3 || errnos[args[0]] == 0 {
		return errors.New("usage: filtered EPERM|ENOSYS CALL[,CALL...] COMMAND [ARGUMENTS...]")
	}
	program, err := exec.LookPath(args[2])
	if err != nil {
		return err
	}
	err = seccomp.LoadFilter(seccomp.Filter{NoNewPrivs: true, Flag: seccomp.FilterFlagTSync, Policy: seccomp.Policy{
		DefaultAction: seccomp.ActionAllow,
		Syscalls:      []seccomp.SyscallGroup{{Action: seccomp.ActionErrno | seccomp.Action(errnos[args[0]]), Names: strings.Split(args[1], ",")}},
	}})
	if err != nil {
		return err
	}
	return syscall.Exec(program, args[2:], os.Environ())
}
