// SPDX-License-Identifier: Apache-2.0

package host

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/refusal"
)

func TestParseOnline(t *testing.T) {
	for list, want := range map[string]int{"0\n": 1, "0-3\n": 4, "0-3,5,8-9\n": 7} {
		if got, err := parseOnline(strings.NewReader(list)); err != nil || got != want {
			t.Errorf("CPUs of %q = %d, %v, want %d", list, got, err, want)
		}
	}
	for _, list := range []string{"", "a", "3-1", "0-"} {
		if got, err := parseOnline(strings.NewReader(list)); err == nil {
			t.Errorf("CPUs of %q = %d, want an error", list, got)
		}
	}
}

func TestParseMemTotal(t *testing.T) {
	got, err := parseMemTotal(strings.NewReader("MemTotal:       24545580 kB\nMemFree: 1 kB\n"))
	if want := 24545580 * 1024.0; err != nil || got != want {
		t.Errorf("memory = %v, %v, want %v", got, err, want)
	}
	if _, err := parseMemTotal(strings.NewReader("MemFree: 1 kB\n")); err == nil {
		t.Error("no MemTotal is no error")
	}
}

func TestCapabilities(t *testing.T) {
	const bpf, perfmon, ptrace, admin = 1 << unix.CAP_BPF, 1 << unix.CAP_PERFMON, 1 << unix.CAP_SYS_PTRACE, 1 << unix.CAP_SYS_ADMIN
	for _, c := range []struct {
		held    uint64
		missing string
	}{
		{bpf | perfmon | ptrace, ""},
		{admin | ptrace, ""},
		{0, "CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE"},
		{bpf | ptrace, "CAP_PERFMON"},
	} {
		f := privilegesOf(refusal.Privileges{Held: c.held}, 1000)
		if _, missing, _ := strings.Cut(f.Value, "without "); missing != c.missing || (f.Cure == "") != (missing == "") {
			t.Errorf("capabilities %x = %+v, want without %q", c.held, f, c.missing)
		}
	}
}
