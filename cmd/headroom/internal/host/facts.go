// SPDX-License-Identifier: Apache-2.0

package host

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Fact is something about this host that decides what can be seen. A cure
// is there where the fact costs something.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Cure  string `json:"cure,omitempty"`
}

// Facts reports what decides which sources can be read on this host.
func Facts() []Fact {
	h := Describe()
	return []Fact{
		{Name: "kernel", Value: h.Kernel},
		privileges(),
		btf(),
		cgroupMode(),
		pressure(),
		sysctl("perf_event_paranoid", "kernel/perf_event_paranoid"),
		sysctl("unprivileged_bpf", "kernel/unprivileged_bpf_disabled"),
		lockdown(),
	}
}

// capabilities are those that headroom uses, and what for (capabilities(7)).
var capabilities = []struct {
	name string
	bit  int
}{
	{"CAP_BPF", unix.CAP_BPF},               // load programs
	{"CAP_PERFMON", unix.CAP_PERFMON},       // attach them to the scheduler
	{"CAP_SYS_PTRACE", unix.CAP_SYS_PTRACE}, // see whose executable a process runs
}

func privileges() Fact {
	f := Fact{Name: "privileges"}
	status, err := os.ReadFile(ProcRoot + "/self/status")
	held, errHeld := strconv.ParseUint(StatusField(status, "CapEff"), 16, 64)
	if err != nil || errHeld != nil {
		f.Value = "unknown"
		return f
	}
	if users, err := os.ReadFile(ProcRoot + "/self/uid_map"); err == nil && inUserNamespace(users) {
		f.Value = fmt.Sprintf("user %d of a user namespace, in which no capability allows eBPF or other users' processes", os.Geteuid())
		f.Cure = "run it as root of the host: not in a rootless container, nor with users remapped"
		return f
	}
	f.Value, f.Cure = capabilitiesOf(held, os.Geteuid())
	return f
}

// inUserNamespace reads /proc/self/uid_map, which in the initial namespace maps all
// users to themselves (user_namespaces(7)).
//
//	0          0 4294967295
func inUserNamespace(users []byte) bool {
	return !slices.Equal(strings.Fields(string(users)), []string{"0", "0", "4294967295"})
}

// capabilitiesOf reads the set as the kernel checks it: CAP_SYS_ADMIN stands
// for CAP_BPF and CAP_PERFMON too.
func capabilitiesOf(held uint64, uid int) (value, cure string) {
	admin := held&(1<<unix.CAP_SYS_ADMIN) != 0
	var missing []string
	for _, c := range capabilities {
		implied := admin && (c.bit == unix.CAP_BPF || c.bit == unix.CAP_PERFMON)
		if held&(1<<c.bit) == 0 && !implied {
			missing = append(missing, c.name)
		}
	}
	who := fmt.Sprintf("user %d", uid)
	if uid == 0 {
		who = "root"
	}
	if len(missing) == 0 {
		return who + " with all capabilities that are used", ""
	}
	return who + " without " + strings.Join(missing, ", "), "run as root, or grant them with setcap or a service unit"
}

func btf() Fact {
	if _, err := os.Stat(sysRoot + "/kernel/btf/vmlinux"); err != nil {
		return Fact{"BTF", "no", "a kernel with CONFIG_DEBUG_INFO_BTF=y: eBPF programs need its types"}
	}
	return Fact{"BTF", "yes", ""}
}

func cgroupMode() Fact {
	f := Fact{Name: "cgroups"}
	var st unix.Statfs_t
	if err := unix.Statfs(cgroupRoot, &st); err != nil {
		f.Value, f.Cure = "none at "+cgroupRoot, "mount the cgroup file system there"
		return f
	}
	f.Value = "v1"
	if st.Type == unix.CGROUP2_SUPER_MAGIC {
		f.Value = "v2"
	} else if unix.Statfs(cgroupRoot+"/unified", &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
		f.Value = "hybrid: v1 with a v2 tree that has no controllers"
	}
	return f
}

// pressure reads, since a kernel with psi=0 has the file and refuses to read it.
func pressure() Fact {
	if _, err := os.ReadFile(ProcRoot + "/pressure/cpu"); err != nil {
		return Fact{"pressure (PSI)", "no", "boot with psi=1, on a kernel with CONFIG_PSI=y"}
	}
	return Fact{"pressure (PSI)", "yes", ""}
}

// sysctl reports a setting. What it forbids shows in the sources.
func sysctl(name, path string) Fact {
	b, err := os.ReadFile(ProcRoot + "/sys/" + path)
	if err != nil {
		return Fact{Name: name, Value: "absent"}
	}
	return Fact{Name: name, Value: strings.TrimSpace(string(b))}
}

// lockdown in confidentiality forbids eBPF to read kernel memory
// (security/lockdown/lockdown.c).
//
//	none [integrity] confidentiality
func lockdown() Fact {
	b, err := os.ReadFile(sysRoot + "/kernel/security/lockdown")
	if err != nil {
		return Fact{Name: "lockdown", Value: "none"}
	}
	_, rest, _ := strings.Cut(string(b), "[")
	mode, _, _ := strings.Cut(rest, "]")
	f := Fact{Name: "lockdown", Value: mode}
	if mode == "confidentiality" {
		f.Cure = "boot with lockdown=integrity"
	}
	return f
}

// StatusField returns a value of /proc/PID/status.
//
//	Tgid:	4242
func StatusField(status []byte, key string) string {
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, key+":"); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}
