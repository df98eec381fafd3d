// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"errors"
	"fmt"
	"io"
	"os"

	"go.yaml.in/yaml/v3"
	"golang.org/x/sys/unix"
)

// manifest is the path of deploy/daemonset.yaml, which bpf/kernels puts there. It is
// generated from the chart.
const manifest = "/daemonset.yaml"

// capabilities are the capabilities that a manifest may contain, with their names in Kubernetes.
var capabilities = map[string]int{
	"BPF": unix.CAP_BPF, "PERFMON": unix.CAP_PERFMON, "SYS_PTRACE": unix.CAP_SYS_PTRACE, "DAC_READ_SEARCH": unix.CAP_DAC_READ_SEARCH,
	"SYS_RESOURCE": unix.CAP_SYS_RESOURCE, "SYS_ADMIN": unix.CAP_SYS_ADMIN, "SYSLOG": unix.CAP_SYSLOG, "NET_ADMIN": unix.CAP_NET_ADMIN,
}

// A workload has the fields of a manifest's object that tests read.
type workload struct {
	Kind string
	Spec struct {
		Template struct {
			Spec struct {
				Containers []struct {
					SecurityContext struct {
						Privileged               bool
						AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
						Capabilities             struct{ Add, Drop []string }
					} `yaml:"securityContext"`
				}
			}
		}
	}
}

// grantedByManifest returns the capabilities of the DaemonSet's only container.
func grantedByManifest() (map[int]bool, error) {
	set, err := daemonSet()
	if err != nil {
		return nil, err
	}
	containers := set.Spec.Template.Spec.Containers
	if len(containers) != 1 {
		return nil, fmt.Errorf("%s: its DaemonSet has %d containers, want one", manifest, len(containers))
	}
	c := containers[0].SecurityContext
	if c.Privileged || c.AllowPrivilegeEscalation == nil || *c.AllowPrivilegeEscalation || len(c.Capabilities.Drop) != 1 || c.Capabilities.Drop[0] != "ALL" {
		return nil, fmt.Errorf("%s: the container has privileges besides its capabilities: %+v", manifest, c)
	}
	granted := make(map[int]bool)
	for _, name := range c.Capabilities.Add {
		number, ok := capabilities[name]
		if !ok {
			return nil, fmt.Errorf("%s: capability %s: its number is unknown", manifest, name)
		}
		granted[number] = true
	}
	return granted, nil
}

func daemonSet() (*workload, error) {
	file, err := os.Open(manifest)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // nothing was written
	for d := yaml.NewDecoder(file); ; {
		var w workload
		if err := d.Decode(&w); errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%s has no DaemonSet", manifest)
		} else if err == nil && w.Kind == "DaemonSet" {
			return &w, nil
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", manifest, err)
		}
	}
}
