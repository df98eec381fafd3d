// SPDX-License-Identifier: Apache-2.0

package fd

import (
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// userTick is the length of a clock tick: USER_HZ is 100 on every platform that Go
// supports.
const userTick = 10 * time.Millisecond

// A process holds what the passes found about a process.
type process struct {
	pid   int
	start uint64 // clock ticks since boot
	round int    // the last pass that saw it
	held  held
	// large is set if the process held many descriptors, or close to its limit, in any
	// pass; talks if it held a socket. Series of all other processes would be most of
	// the memory of a run, and contain only zeros.
	large, talks bool
}

// held is what a process holds open. Each part has a flag that says whether it is
// known.
type held struct {
	fds     int
	counted bool

	sockets, files, pipes, anon int
	kinds                       bool

	established, closeWait, synSent int
	accepted, datagrams, brokers    int
	states                          bool

	listens     int
	listensSeen bool

	backlog     int
	backlogSeen bool

	soft, hard uint64
	limited    bool

	refused     uint64
	refusedSeen bool
}

// process returns the process with a pid in this pass, nil if the limit is reached.
// A different start time means that the pid was reused.
func (r *reader) process(pid int, start uint64) *process {
	p := r.procs[pid]
	if p == nil {
		if len(r.procs) >= maxProcesses {
			r.refused++
			return nil
		}
		p = &process{pid: pid}
		r.procs[pid] = p
	}
	if p.start != start {
		*p = process{pid: pid, start: start}
	}
	if p.round != r.round {
		p.round, p.held = r.round, held{}
	}
	return p
}

// write writes one process to the snapshot, and drops one that is gone;
// agent/sampler/proc reports its end.
func (r *reader) write(s *observe.Snapshot, p *process) {
	if p.round != r.round {
		delete(r.procs, p.pid)
		return
	}
	id, ok := r.identity.Process(p.pid, p.start)
	if !ok {
		return
	}
	h := &p.held
	p.large = p.large || h.isLarge()
	p.talks = p.talks || h.sockets > 0
	h.kinds = h.kinds && p.large
	h.states = h.states && p.talks
	h.write(s, id)
}

// isLarge reports whether a limit can matter: the process holds many descriptors,
// or half of a low limit. A process above its limit has lowered the limit itself.
func (h *held) isLarge() bool {
	few := h.limited && h.soft >= tightLimit && uint64(h.fds) >= h.soft/2 && uint64(h.fds) <= h.soft
	return h.fds >= manyFDs || few
}

func (h *held) write(s *observe.Snapshot, id observe.ID) {
	set := func(m *observe.Metric, known bool, v int) {
		if known {
			s.Set(m, id, float64(v))
		}
	}
	set(catalog.ProcessFDs, h.counted, h.fds)
	set(catalog.ProcessFDSockets, h.kinds, h.sockets)
	set(catalog.ProcessFDFiles, h.kinds, h.files)
	set(catalog.ProcessFDPipes, h.kinds, h.pipes)
	set(catalog.ProcessFDAnon, h.kinds, h.anon)
	set(catalog.ProcessEstablished, h.states, h.established)
	set(catalog.ProcessCloseWait, h.states, h.closeWait)
	set(catalog.ProcessSynSent, h.states, h.synSent)
	set(catalog.ProcessAccepted, h.states, h.accepted)
	set(catalog.ProcessDatagrams, h.datagrams > 0, h.datagrams)
	set(catalog.ProcessBrokers, h.brokers > 0, h.brokers)
	set(catalog.ProcessListens, h.listensSeen, h.listens)
	set(catalog.ProcessBacklog, h.backlogSeen, h.backlog)
	if h.refusedSeen {
		s.Set(catalog.ProcessFDRefused, id, float64(h.refused))
	}
	if h.limited && (h.isLarge() || h.refused > 0) {
		s.Set(catalog.ProcessFDLimit, id, float64(h.soft))
		s.Set(catalog.ProcessFDHardLimit, id, float64(h.hard))
	}
}
