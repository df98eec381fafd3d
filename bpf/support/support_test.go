// SPDX-License-Identifier: Apache-2.0

package support

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRefused(t *testing.T) {
	err := Failed("loading", fmt.Errorf("map create: %w", unix.EMFILE))
	if !errors.Is(err, ErrNotSupported) || !errors.Is(err, unix.EMFILE) || !strings.Contains(err.Error(), "ulimit -n") {
		t.Errorf("error = %v, want one that is not supported and names the limit", err)
	}
	if err := Refused(fmt.Errorf("load program: %w", unix.EINVAL)); err != nil {
		t.Errorf("error = %v, want none: it is about the program", err)
	}
	if err := Failed("loading", unix.EINVAL); err.Reason != "loading: invalid argument" || err.Cure != "" {
		t.Errorf("error = %+v, want what was attempted", err)
	}
}

// TestParseID checks a number that ends with a newline, and an empty file.
func TestParseID(t *testing.T) {
	if id, err := parseID(strings.NewReader("824\n")); id != 824 || err != nil {
		t.Errorf("id = %d, %v; want 824", id, err)
	}
	if _, err := parseID(strings.NewReader("")); err == nil {
		t.Error("an empty file was parsed as a number")
	}
}

// TestNoSuchSyscall checks that system calls that the kernel lacks are skipped, and
// that it is an error if none is left.
func TestNoSuchSyscall(t *testing.T) {
	_, err := OpenSyscalls("enter", []string{"never_made"})
	if os.Getuid() == 0 && (err == nil || !strings.Contains(err.Error(), "CONFIG_FTRACE_SYSCALLS")) {
		t.Errorf("error = %v, want that there are no tracepoints", err)
	}
	if err == nil {
		t.Error("a system call that no kernel has was opened")
	}
}
