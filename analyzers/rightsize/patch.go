// SPDX-License-Identifier: Apache-2.0

package rightsize

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// settings are the values to set, as Kubernetes writes them; "" leaves one as it is.
type settings struct {
	cpuRequest, memoryRequest, cpuLimit, memoryLimit string
}

// settings returns what to change. A request is changed with its limit, because a request
// above its limit is invalid. No CPU limit is added where there is none: idle CPU time is
// lost to nobody.
func (s *size) settings() (to settings) {
	if c := s.cpu; c.changes() {
		if c.request > 0 {
			to.cpuRequest = milliCores(c.toRequest)
		}
		if c.limit > 0 && (c.request == 0 || c.toLimit > c.limit || c.toRequest > c.limit) {
			to.cpuLimit = milliCores(c.toLimit)
		}
	}
	if m := s.memory; m.changes() {
		if m.request > 0 {
			to.memoryRequest = mebibytes(m.toRequest)
		}
		if m.limit > 0 {
			to.memoryLimit = mebibytes(m.toLimit)
		}
	}
	return to
}

func milliCores(cores float64) string {
	milli := math.Ceil(math.Round(cores*1e6) / 1e3)
	if math.Mod(milli, 1000) == 0 {
		return fmt.Sprintf("%.0f", milli/1000)
	}
	return fmt.Sprintf("%.0fm", milli)
}

func mebibytes(bytes float64) string { return fmt.Sprintf("%.0fMi", math.Ceil(bytes/mib)) }

// words lists the settings: CPU request 250m, memory limit 512Mi.
func (to settings) words() string {
	var all []string
	for _, x := range []struct{ name, value string }{
		{"CPU request", to.cpuRequest}, {"CPU limit", to.cpuLimit}, {"memory request", to.memoryRequest}, {"memory limit", to.memoryLimit},
	} {
		if x.value != "" {
			all = append(all, x.name+" "+x.value)
		}
	}
	return analysis.List(all)
}

// action returns the settings, and the command that sets them.
func (s *size) action(p *facts.Pass) string {
	text := fmt.Sprintf("Set the %s of %s", s.settings().words(), p.Name(s.cgroup))
	if command, ok := s.command(p); ok {
		text += ": " + command
	}
	return text
}

// A plain name needs no quotes in a shell. Names of Kubernetes, container engines and
// systemd are plain; those of a recording can be anything.
var plain = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9@:._-]*$`)

// command returns the command that sets the sizes; ok is false if it is not known what
// runs the workload.
func (s *size) command(p *facts.Pass) (string, bool) {
	attr := func(key string) string { return p.Attr(s.cgroup, key) }
	to := s.settings()
	switch {
	case attr(catalog.AttrPodUID) != "" || attr(catalog.AttrPodName) != "":
		return kubectl(attr(catalog.AttrWorkload), attr(catalog.AttrNamespace), attr(catalog.AttrContainerName), to)
	case attr(catalog.AttrContainerID) != "":
		return s.update(attr(catalog.AttrContainerKind), attr(catalog.AttrContainerID), to)
	case attr(catalog.AttrService) != "":
		return s.setProperty(attr(catalog.AttrService), to)
	}
	return s.write(p, to)
}

// templates are the workloads whose pods come from spec.template.
var templates = map[string]bool{"deployment": true, "statefulset": true, "daemonset": true, "replicaset": true, "replicationcontroller": true}

// kubectl returns a strategic merge patch, which changes one container by its name.
func kubectl(workload, namespace, container string, to settings) (string, bool) {
	kind, name, _ := strings.Cut(workload, "/")
	if !plain.MatchString(name) || !plain.MatchString(namespace) || !plain.MatchString(container) {
		return "", false
	}
	type object map[string]any
	resources := object{}
	add := func(list, resource, value string) {
		if value == "" {
			return
		}
		if resources[list] == nil {
			resources[list] = object{}
		}
		resources[list].(object)[resource] = value
	}
	add("requests", "cpu", to.cpuRequest)
	add("requests", "memory", to.memoryRequest)
	add("limits", "cpu", to.cpuLimit)
	add("limits", "memory", to.memoryLimit)
	patch := object{"spec": object{"containers": []object{{"name": container, "resources": resources}}}}
	switch {
	case templates[kind]:
		patch = object{"spec": object{"template": patch}}
	case kind == "cronjob":
		patch = object{"spec": object{"jobTemplate": object{"spec": object{"template": patch}}}}
	default:
		return "", false // the template of a job and a pod's own containers cannot be changed
	}
	text, err := json.Marshal(patch)
	if err != nil {
		return "", false // strings and maps: cannot happen
	}
	return fmt.Sprintf("kubectl -n %s patch %s/%s -p '%s'", namespace, kind, name, text), true
}

// update is for a container without Kubernetes.
func (s *size) update(kind, id string, to settings) (string, bool) {
	if kind != "docker" && kind != "podman" || !plain.MatchString(id) {
		return "", false
	}
	command := kind + " update"
	if to.cpuLimit != "" {
		command += fmt.Sprintf(" --cpus %g", s.cpu.toLimit)
	}
	if to.memoryLimit != "" {
		size := fmt.Sprintf("%.0fm", s.memory.toLimit/mib)
		command += " --memory " + size + " --memory-swap " + size
	}
	return command + " " + catalog.ShortContainerID(id), true
}

func (s *size) setProperty(unit string, to settings) (string, bool) {
	unit = unit[strings.LastIndex(unit, "/")+1:]
	if !plain.MatchString(unit) {
		return "", false
	}
	command := "systemctl set-property " + unit
	if to.cpuLimit != "" {
		command += fmt.Sprintf(" CPUQuota=%.0f%%", 100*s.cpu.toLimit)
	}
	if to.memoryLimit != "" {
		command += fmt.Sprintf(" MemoryMax=%.0fM", s.memory.toLimit/mib)
	}
	return command, true
}

// write is for a cgroup that no manager is known of: the values of its files.
func (s *size) write(p *facts.Pass, to settings) (string, bool) {
	var all []string
	if to.cpuLimit != "" {
		period, ok := p.Last(catalog.CgroupCPUPeriod, s.cgroup)
		if !ok || period <= 0 {
			period = usualPeriod
		}
		all = append(all, fmt.Sprintf("%.0f %.0f in its cpu.max", 1e6*period*s.cpu.toLimit, 1e6*period))
	}
	if to.memoryLimit != "" {
		all = append(all, fmt.Sprintf("%.0f in its memory.max", s.memory.toLimit))
	}
	return "write " + analysis.List(all), len(all) > 0
}
