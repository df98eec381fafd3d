// SPDX-License-Identifier: Apache-2.0

// Package refusal explains why the kernel refused headroom something, and what
// fixes it. One error number has several causes: EPERM of bpf(2) is a capability
// that is missing, a seccomp filter, a security module or a limit of locked
// memory, and a file that is not there can be on a file system that is not mounted.
// The package asks the kernel which of them it is.
package refusal

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// A Refusal is why something was refused, and what fixes it.
type Refusal struct{ Reason, Fix string }

const (
	// NeedFiles is the number of open files below which headroom cannot read all
	// of its sources: the eBPF collections hold 60, and the samplers keep some open.
	NeedFiles = 256
	// enoughFiles is the limit that a fix names: the usual one, which also has
	// room for the clients of an agent.
	enoughFiles = 1024
)

// Limit explains an error that is about what this process or host may use, and
// not about the file or call that failed. It is nil for every other error.
func Limit(err error) *Refusal {
	switch {
	case errors.Is(err, unix.EMFILE):
		return openFiles(OpenFiles())
	case errors.Is(err, unix.ENFILE):
		return &Refusal{"the host has reached its limit of open files (fs.file-max)", "raise the limit: sysctl fs.file-max=N; headroom diagnose --duration 1m names the processes with the most files"}
	case errors.Is(err, unix.ENOMEM):
		return &Refusal{"headroom has too little memory", "raise the memory limit of headroom's container or unit"}
	}
	return nil
}

// OpenFiles is how many files headroom may have open, 0 where that is not known.
func OpenFiles() uint64 {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return limit.Cur
}

// FewFiles is the Refusal of a limit of open files with which headroom cannot work,
// or nil.
func FewFiles(limit uint64) *Refusal {
	if limit == 0 || limit >= NeedFiles {
		return nil
	}
	return openFiles(limit)
}

func openFiles(limit uint64) *Refusal {
	if limit == 0 {
		return &Refusal{"headroom's limit of open files is too low", "raise it: ulimit -n, or LimitNOFILE= in a systemd unit"}
	}
	enough := max(enoughFiles, 4*min(limit, 1<<30))
	return &Refusal{
		Reason: fmt.Sprintf("headroom's limit of open files (%d) is too low", limit),
		Fix:    fmt.Sprintf("raise it: ulimit -n %d, LimitNOFILE=%d in a systemd unit, or docker run --ulimit nofile=%d:%d", enough, enough, enough, enough),
	}
}
