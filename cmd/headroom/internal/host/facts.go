// SPDX-License-Identifier: Apache-2.0

package host

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/refusal"
	"github.com/headroom-project/headroom/bpf/support"
)

// A Fact is a property of this host that decides what can be observed. It has a
// cure if it prevents something.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Cure  string `json:"cure,omitempty"`
}

// Facts returns the properties that decide which sources can be read on this host.
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

// EnoughFiles returns an error if headroom may open too few files to run as an
// agent: it would accept no connection while its sources hold all of them.
func EnoughFiles() error {
	if r := refusal.FewFiles(refusal.OpenFiles()); r != nil {
		return fmt.Errorf("%s for an agent, which needs at least %d: %s", r.Reason, refusal.NeedFiles, r.Fix)
	}
	return nil
}

// capabilities lists those that headroom uses on every host.
var capabilities = []refusal.Capability{refusal.BPF, refusal.Perfmon, refusal.Ptrace}

func privileges() Fact { return privilegesOf(refusal.Own(), os.Geteuid()) }

func privilegesOf(own refusal.Privileges, uid int) Fact {
	who := fmt.Sprintf("user %d", uid)
	if uid == 0 {
		who = "root"
	}
	missing := own.Missing(capabilities...)
	switch {
	case own.UserNamespace:
		return Fact{"privileges", fmt.Sprintf("user %d of a user namespace, in which no capability allows eBPF or other users' processes", uid), own.Grant(nil)}
	case len(missing) > 0:
		return Fact{"privileges", who + " without " + strings.Join(missing, ", "), own.Grant(missing)}
	}
	return Fact{"privileges", who + " with all capabilities that are used", ""}
}

func btf() Fact {
	if err := support.HasBTF(); err != nil {
		var u *support.Unsupported
		if errors.As(err, &u) {
			return Fact{"BTF", "no: " + u.Reason, u.Cure}
		}
		return Fact{"BTF", "no: " + err.Error(), ""}
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

// pressure reads the file, since a kernel with psi=0 has the file but refuses to
// read it.
func pressure() Fact {
	path := ProcRoot + "/pressure/cpu"
	_, err := os.ReadFile(path)
	if err == nil {
		return Fact{"pressure (PSI)", "yes", ""}
	}
	if r := cmp.Or(refusal.Limit(err), refusal.Hidden(path)); r != nil {
		return Fact{"pressure (PSI)", "no: " + r.Reason, r.Fix}
	}
	return Fact{"pressure (PSI)", "no", "boot with psi=1, on a kernel with CONFIG_PSI=y"}
}

// sysctl reports a setting. The sources report what it prevents.
func sysctl(name, path string) Fact {
	b, err := os.ReadFile(ProcRoot + "/sys/" + path)
	if err != nil {
		return Fact{Name: name, Value: "absent"}
	}
	return Fact{Name: name, Value: strings.TrimSpace(string(b))}
}

// lockdown reports the kernel's lockdown mode. In mode confidentiality eBPF cannot
// read kernel memory (security/lockdown/lockdown.c).
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
