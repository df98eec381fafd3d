// SPDX-License-Identifier: Apache-2.0

package fd

import (
	"errors"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/bpf/files"
	"github.com/headroom-project/headroom/bpf/requests"
)

// kernel is the iterator over open files.
type kernel struct {
	probe   *files.Probe
	lost    files.Lost
	refused watch

	probes *sampler.Probes
	bursts *requests.Bursts // nil until the probe of requests is open, if it is
}

func (k *kernel) pass(r *reader) error {
	err := k.probe.Read(files.Visitor{
		Process:  func(v *files.Process) { r.opened(v) },
		Listener: func(v *files.Listener) { r.listens(v) },
	})
	k.lost = k.probe.Lost()
	return err
}

func (k *kernel) watch(r *reader) error {
	k.refused.adjust(r, k.probe)
	return errors.Join(k.refused.read(r, k.probe), k.readBursts(r))
}

// readBursts reads how many connections wanted to wait in each accept queue at a time. The
// probe of requests knows it: it sees each connection enter its queue.
func (k *kernel) readBursts(r *reader) error {
	if k.bursts == nil {
		probe, ok := k.probes.Opened()["requests"].(*requests.Probe)
		if !ok {
			return nil
		}
		k.bursts = probe.Bursts()
		return k.bursts.Read(func(uint64, int) {}) // what was before is not since the last reading
	}
	byInode := make(map[uint64]*listener, len(r.listeners))
	for key, l := range r.listeners {
		l.burst, l.bursting = 0, true
		byInode[key.inode] = l
	}
	return k.bursts.Read(func(inode uint64, connections int) {
		if l := byInode[inode]; l != nil {
			l.burst = connections
		}
	})
}

func (k *kernel) gaps(s *observe.Snapshot) {
	k.gapsOfWatch(s)
	if k.lost.Listeners > 0 {
		s.Gap(name, "some queues of listening sockets are not observed: the limit of the eBPF probe was reached", "")
	}
	if k.lost.Ports > 0 {
		s.Gap(name, "connections to some listening ports are not counted as waiting: the limit of the eBPF probe was reached", "")
	}
}

func (k *kernel) gapsOfWatch(s *observe.Snapshot) {
	if k.lost.Refused > 0 {
		s.Gap(name, "some calls that failed for lack of file descriptors are not counted: the eBPF probe reached its limit of processes", "")
	}
	if k.refused.err != nil {
		s.Gap(name, "calls that fail for lack of file descriptors are not counted: "+k.refused.err.Reason, k.refused.err.Cure)
	}
}

func (*kernel) close() error { return nil } // the probe belongs to Host.Probes

func ticks(ns uint64) uint64 { return ns / uint64(userTick) }

// opened adds the contents of one descriptor table.
func (r *reader) opened(v *files.Process) {
	p := r.process(int(v.Tgid), ticks(v.Start))
	if p == nil {
		return
	}
	h := &p.held
	h.counted, h.kinds, h.states, h.listensSeen, h.limited = true, true, true, true, true
	h.fds += v.FDs()
	h.sockets += int(v.Sockets)
	h.files += int(v.Files)
	h.pipes += int(v.Pipes)
	h.anon += int(v.Anon)
	h.established += int(v.Established)
	h.closeWait += int(v.CloseWait)
	h.synSent += int(v.SynSent)
	h.listens += int(v.Listeners)
	h.accepted += int(v.Served)
	h.datagrams += int(v.Datagram)
	h.brokers += int(v.Brokers)
	h.backlog += int(v.Backlog)
	h.backlogSeen = h.backlogSeen || v.Listeners > 0 || v.Served > 0
	h.soft, h.hard = v.SoftLimit, v.HardLimit
}

// listens records a listening socket that a process holds.
func (r *reader) listens(v *files.Listener) {
	holder := &process{pid: int(v.Tgid), start: ticks(v.Start)}
	l := r.listener(socket{uint64(v.NetNS), v.Inode}, v.Local, holder)
	if l == nil {
		return
	}
	l.queue, l.backlog, l.drops, l.somaxconn = v.Queue, v.MaxQueue, v.Drops, v.Somaxconn
	l.limited, l.dropped = true, true
}
