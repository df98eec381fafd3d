// SPDX-License-Identifier: Apache-2.0

package refusal

import (
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Capability is one of capabilities(7).
type Capability struct {
	Name string
	bit  int
}

// The capabilities that headroom uses.
var (
	BPF           = Capability{"CAP_BPF", unix.CAP_BPF}                         // load programs
	Perfmon       = Capability{"CAP_PERFMON", unix.CAP_PERFMON}                 // attach them to the scheduler
	Ptrace        = Capability{"CAP_SYS_PTRACE", unix.CAP_SYS_PTRACE}           // see which program a process of another user runs
	DACReadSearch = Capability{"CAP_DAC_READ_SEARCH", unix.CAP_DAC_READ_SEARCH} // read files of other users
	SysAdmin      = Capability{"CAP_SYS_ADMIN", unix.CAP_SYS_ADMIN}             // mount
	SysResource   = Capability{"CAP_SYS_RESOURCE", unix.CAP_SYS_RESOURCE}       // raise limits
)

// Privileges are what this process may do.
type Privileges struct {
	Root bool   // the user ID is 0
	Held uint64 // the effective capabilities, by bit
	// UserNamespace says that they count in a user namespace alone, where none of
	// them allows eBPF or other users' processes.
	UserNamespace bool
	// Seccomp says that a filter of system calls is in force.
	Seccomp bool
}

// Own returns the privileges of this process. It works where no file can be
// opened, but for the user namespace.
func Own() Privileges {
	p := Privileges{Root: os.Geteuid() == 0, Held: heldCapabilities()}
	mode, err := unix.PrctlRetInt(unix.PR_GET_SECCOMP, 0, 0, 0, 0)
	p.Seccomp = err != nil || mode != 0 // a filter can refuse prctl(2) too
	if users, err := os.ReadFile("/proc/self/uid_map"); err == nil {
		p.UserNamespace = inUserNamespace(users)
	}
	return p
}

func heldCapabilities() uint64 {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) != nil { // a filter of system calls
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			return 0
		}
		return effective(string(status))
	}
	return uint64(data[1].Effective)<<32 | uint64(data[0].Effective)
}

// effective reads the capabilities in /proc/self/status.
//
//	CapEff:	000001fffeffffff
func effective(status string) uint64 {
	for line := range strings.Lines(status) {
		if set, ok := strings.CutPrefix(line, "CapEff:"); ok {
			held, err := strconv.ParseUint(strings.TrimSpace(set), 16, 64)
			if err == nil {
				return held
			}
		}
	}
	return 0
}

// inUserNamespace reads /proc/self/uid_map, which in the initial namespace maps all
// users to themselves (user_namespaces(7)).
//
//	0          0 4294967295
func inUserNamespace(users []byte) bool {
	return !slices.Equal(strings.Fields(string(users)), []string{"0", "0", "4294967295"})
}

// Missing returns the names of those capabilities that are not held. The kernel
// takes CAP_SYS_ADMIN for CAP_BPF and CAP_PERFMON too.
func (p Privileges) Missing(needs ...Capability) []string {
	var missing []string
	for _, c := range needs {
		implied := p.holds(SysAdmin) && (c == BPF || c == Perfmon)
		if !p.holds(c) && !implied {
			missing = append(missing, c.Name)
		}
	}
	return missing
}

func (p Privileges) holds(c Capability) bool { return p.Held&(1<<c.bit) != 0 }

// outsideUserNamespace is the fix where capabilities count in a user namespace alone.
const outsideUserNamespace = "run it as root of the host: not in a rootless container, nor with users remapped"

// Grant is how to give headroom the capabilities that it lacks. The ones of a
// user namespace do not help.
func (p Privileges) Grant(missing []string) string {
	if p.UserNamespace {
		return outsideUserNamespace
	}
	grant := "run as root, or grant "
	if p.Root {
		grant = "grant "
	}
	return grant + list(missing) + ": AmbientCapabilities= of a systemd unit, docker run --cap-add, or securityContext.capabilities.add of a pod"
}

// list joins names: A, B and C.
func list(names []string) string {
	if n := len(names); n > 1 {
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
	return strings.Join(names, "")
}

// lacks explains that a call failed with EPERM or EACCES because these capabilities
// are not held. It is nil where all of them are.
func (p Privileges) lacks(what string, needs []Capability) *Refusal {
	if p.UserNamespace {
		return &Refusal{what + " is not permitted in a user namespace", outsideUserNamespace}
	}
	missing := p.Missing(needs...)
	if len(missing) == 0 {
		return nil
	}
	return &Refusal{what + " is not permitted without " + list(missing), p.Grant(missing)}
}
