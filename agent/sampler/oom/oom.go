// SPDX-License-Identifier: Apache-2.0

// Package oom samples the processes that the OOM killer killed, their memory, and
// the cgroup whose limit was reached. It is a thin layer over bpf/oom. Victims have
// ended when their records are read, so /proc is not read: the description in the
// index is kept, and an unknown process is described by what the kernel recorded.
package oom

import (
	"maps"
	"strconv"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/bpf/oom"
)

// Sampler reads the processes killed by the OOM killer.
var Sampler = &sampler.Sampler{
	Name:     "oom",
	Doc:      "Records the processes that the OOM killer kills, their memory, and the cgroup whose limit was reached (eBPF).",
	Provides: []*observe.Metric{catalog.ProcessOOMKills, catalog.ProcessOOMMemory, catalog.OOMLimit},
	Open:     open,
}

// A probe is the probe of bpf/oom, or of a test.
type probe interface {
	ReadVictims(yield func(*oom.Victim)) error
	Lost() uint64
}

type reader struct {
	probe probe
	host  *sampler.Host
	lost  uint64
}

func open(host *sampler.Host) (sampler.Reader, error) {
	p, err := sampler.Probe[*oom.Probe](host, "oom")
	if err != nil {
		return nil, err
	}
	return &reader{probe: p, host: host}, nil
}

// Read implements sampler.Reader.
func (r *reader) Read(s *observe.Snapshot) error {
	if lost := r.probe.Lost(); lost > r.lost {
		s.Gap("oom", "some processes that the OOM killer killed have no name: the limit of the eBPF probe was reached", "")
		r.lost = lost
	}
	return r.probe.ReadVictims(func(v *oom.Victim) {
		id := r.meet(s, v)
		s.Set(catalog.ProcessOOMKills, id, 1)
		s.Set(catalog.ProcessOOMMemory, id, float64(v.Anon))
		if v.LimitedBy != "" {
			s.SetPair(catalog.OOMLimit, id, r.host.Identity.Cgroup(v.LimitedBy), 1)
		}
	})
}

func (r *reader) Close() error { return nil } // the probe belongs to host.Probes

// clockTick is the unit of start times in /proc in ns: USER_HZ is 100 wherever
// Go runs.
const clockTick = 10_000_000

// meet returns the victim. A process that was too short-lived to be described is
// described here, and ends at once.
func (r *reader) meet(s *observe.Snapshot, v *oom.Victim) observe.ID {
	pid := strconv.Itoa(int(v.Pid))
	id := r.host.Index.ID(observe.Entity{Kind: observe.Process, ID: pid + ":" + strconv.FormatUint(v.Start/clockTick, 10)})
	if id == observe.None {
		return id
	}
	if known := r.host.Index.Info(id); known.Attrs != nil {
		r.rename(id, known, v.Comm)
		return id
	}
	name := observe.ProgramName(v.Comm)
	info := observe.Info{Attrs: map[string]string{
		catalog.AttrPID: pid, catalog.AttrCommand: name, catalog.AttrExecutable: name,
		catalog.AttrOwner: r.host.Index.Entity(id).ID,
	}}
	if v.Cgroup != "" {
		r.place(&info, v.Cgroup)
	}
	r.host.Index.Describe(id, info)
	s.End(id, "killed for memory")
	return id
}

// commLength is the length of a name in the kernel (TASK_COMM_LEN without its
// terminator).
const commLength = 15

// rename sets the name that the victim had when it died, if it ran another program
// than at the last reading: for example a shell that executed it.
func (r *reader) rename(id observe.ID, known observe.Info, comm string) {
	executable, thread := known.Attrs[catalog.AttrExecutable], known.Attrs[catalog.AttrThreadName]
	if comm == "" || comm == executable[:min(len(executable), commLength)] || comm == thread || thread == observe.OwnTitle || executable == "" {
		return
	}
	if comm = observe.ProgramName(comm); comm == observe.UnknownProgram {
		return
	}
	attrs := maps.Clone(known.Attrs)
	attrs[catalog.AttrCommand], attrs[catalog.AttrExecutable] = comm, comm
	delete(attrs, catalog.AttrRuntime)
	delete(attrs, catalog.AttrThreadName)
	r.host.Index.Describe(id, observe.Info{Parent: known.Parent, Attrs: attrs})
}

// place sets the owner of the victim from its cgroup.
func (r *reader) place(info *observe.Info, path string) {
	group := r.host.Identity.Cgroup(path)
	if group == observe.None {
		return
	}
	info.Parent = r.host.Index.Entity(group)
	for _, key := range []string{catalog.AttrContainerID, catalog.AttrContainerKind, catalog.AttrPodUID, catalog.AttrQoS, catalog.AttrService} {
		if v := r.host.Index.Attr(group, key); v != "" {
			info.Attrs[key] = v
		}
	}
	if container := info.Attrs[catalog.AttrContainerID]; container != "" {
		info.Attrs[catalog.AttrOwner] = container
	}
}
