// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/run"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

func TestParseCPUList(t *testing.T) {
	for list, want := range map[string]int{"0\n": 1, "0-3\n": 4, "0-3,5,8-9\n": 7} {
		if got, err := parseCPUList(strings.NewReader(list)); err != nil || got != want {
			t.Errorf("CPUs of %q = %d, %v, want %d", list, got, err, want)
		}
	}
	for _, list := range []string{"", "a", "3-1", "0-"} {
		if got, err := parseCPUList(strings.NewReader(list)); err == nil {
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
		value, cure := capabilitiesOf(c.held, 1000)
		if _, missing, _ := strings.Cut(value, "without "); missing != c.missing || (cure == "") != (missing == "") {
			t.Errorf("capabilities %x = %q, cure %q, want without %q", c.held, value, cure, c.missing)
		}
	}
}

// hostOf is a container with a process and its loop, and a stranger.
func hostOf() (x *observe.Index, container, server, loop, stranger, node observe.ID) {
	x = observe.NewIndex(10)
	add := func(k observe.EntityKind, id string, parent observe.ID, attrs map[string]string) observe.ID {
		e := x.ID(observe.Entity{Kind: k, ID: id})
		info := observe.Info{Attrs: attrs}
		if parent != observe.None {
			info.Parent = x.Entity(parent)
		}
		x.Describe(e, info)
		return e
	}
	node = add(observe.Node, catalog.NodeID, observe.None, nil)
	container = add(observe.Cgroup, "/docker/3f8a", node, map[string]string{catalog.AttrContainerID: "3f8a2c", catalog.AttrContainerName: "api", catalog.AttrPodUID: "u-1"})
	server = add(observe.Process, "42:1", container, map[string]string{catalog.AttrPID: "42", catalog.AttrCommand: "node server.js", catalog.AttrExecutable: "node"})
	loop = add(observe.Loop, "42:1/42", server, nil)
	stranger = add(observe.Process, "77:1", node, map[string]string{catalog.AttrPID: "77", catalog.AttrCommand: "burn"})
	return x, container, server, loop, stranger, node
}

func TestTargets(t *testing.T) {
	x, container, _, loop, stranger, node := hostOf()
	for _, target := range []target{{pid: 42}, {command: "server.js"}, {container: "3f8a"}, {container: "api"}, {pod: "u-1"}, {pid: 42, pod: "u-1"}} {
		keep := concerns(x, target.members(x))
		if !keep(loop) || !keep(container) || !keep(node) || keep(stranger) {
			t.Errorf("%s keeps loop %v, container %v, host %v, stranger %v, want all but the stranger",
				target, keep(loop), keep(container), keep(node), keep(stranger))
		}
	}
	for _, target := range []target{{pid: 43}, {command: "redis"}, {container: "f8a"}, {container: "other"}, {pod: "u"}, {pid: 77, pod: "u-1"}} {
		if members := target.members(x); len(members) > 0 {
			t.Errorf("%s names %d entities, want none", target, len(members))
		}
	}
}

// TestEnding: a process that dies while it is watched is told, not a crash.
func TestEnding(t *testing.T) {
	x, _, server, _, stranger, _ := hostOf()
	w := observe.NewWindow(x)
	w.Ended = []observe.Ended{{ID: stranger}, {ID: server}}
	gaps := endings(w, map[observe.ID]bool{server: true})
	if len(gaps) != 1 || !strings.HasPrefix(gaps[0].Reason, "node server.js (pid 42) ended") {
		t.Errorf("gaps = %+v, want one for node server.js", gaps)
	}
}

func TestAnswers(t *testing.T) {
	read := func(*sampler.Host) (sampler.Reader, error) { return nil, nil }
	have := []*sampler.Sampler{
		{Name: "cpu", Provides: []*observe.Metric{catalog.CPUUser}, Open: read},
		{Name: "psi", Provides: []*observe.Metric{catalog.HostCPUSome}, Open: read},
	}
	asks := []*analysis.Analyzer{
		{Name: "all", Needs: []*observe.Metric{catalog.CPUUser}},
		{Name: "less", Needs: []*observe.Metric{catalog.CPUUser}, Wants: []*observe.Metric{catalog.HostCPUSome}},
		{Name: "none", Needs: []*observe.Metric{catalog.HostCPUSome, catalog.CPUUser}},
	}
	status := []run.SamplerStatus{{Sampler: have[0]}, {Sampler: have[1], Err: sampler.ErrNotSupported}}
	got := answers(asks, have, views(status, []observe.Gap{{Source: "psi", Reason: "no /proc/pressure"}}))
	for i, want := range []string{stateYes, statePartly, stateNo} {
		if got[i].State != want {
			t.Errorf("%s = %s, want %s", got[i].ID, got[i].State, want)
		}
	}
	if len(got[2].Without) != 1 || got[2].Without[0] != "psi" {
		t.Errorf("none goes without %v, want psi", got[2].Without)
	}
}

func TestClosest(t *testing.T) {
	words := []string{"cpu-throttled", "gc-pressure"}
	if got := closest("gcpresure", words); got != "gc-pressure" {
		t.Errorf("closest = %q, want gc-pressure", got)
	}
}
