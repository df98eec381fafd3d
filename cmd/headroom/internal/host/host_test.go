// SPDX-License-Identifier: Apache-2.0

package host

import (
	"os"
	"path/filepath"
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

func TestMemTotal(t *testing.T) {
	proc := t.TempDir()
	for _, c := range []struct {
		meminfo string
		want    float64
	}{
		{"MemTotal:       24545580 kB\nMemFree:               1 kB\n", 24545580 * 1024},
		{"MemFree:               1 kB\n", 0},
		{"", 0},
	} {
		if err := os.WriteFile(filepath.Join(proc, "meminfo"), []byte(c.meminfo), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := memTotal(proc); got != c.want || (err == nil) != (c.want > 0) {
			t.Errorf("memory of %q = %v, %v, want %v", c.meminfo, got, err, c.want)
		}
	}
	if _, err := memTotal(filepath.Join(proc, "missing")); err == nil {
		t.Error("no error without a /proc")
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
