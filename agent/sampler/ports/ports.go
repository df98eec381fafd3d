// SPDX-License-Identifier: Apache-2.0

// Package ports samples how many local ports connections to one address hold, in
// every network namespace that has many of them.
//
// It reads in two steps. The cheap step reads two lines of /proc/PID/net/sockstat
// of one process of each namespace. Only if they add up to a tenth of the available
// ports, the full step reads the sockets: through inet_diag in headroom's own
// namespace, from /proc/PID/net/tcp in others, since a netlink socket there takes
// CAP_SYS_ADMIN.
//
// The parent of an upstream is the process that holds its connections, if it is
// cheap to find: the only process of its namespace, or a process found to hold one
// of its live connections among a limited number of descriptors. Otherwise it is
// the innermost cgroup that contains every process of the namespace. Connections in
// TIME_WAIT have no owner.
package ports

import (
	"errors"
	"fmt"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

const name = "ports"

// Sampler reads socket tables.
var Sampler = &sampler.Sampler{
	Name:     name,
	Doc:      "Counts the local ports in use per destination address and port, in each network namespace with many connections (sockstat, inet_diag, /proc/PID/net/tcp).",
	Provides: []*observe.Metric{catalog.UpstreamPorts, catalog.UpstreamTimeWait, catalog.UpstreamPortLimit},
	Every:    time.Second,
	Open:     open,
}

const (
	// worthShare is the part of the port range from which the sockets of a namespace
	// are read, and an upstream is written: far below the thresholds of findings.
	worthShare = 0.1
	// fewestSockets is the number of sockets below which the range is not read: a
	// tenth of a range of a thousand ports, the narrowest range in use.
	fewestSockets = 100
	// rest is the pause after a full step, as a multiple of its duration: in a
	// diagnosis full steps take half a percent of a core. Ports run out over minutes.
	rest = 200
	// maxUpstreams is the maximum number of upstreams written for one namespace, the
	// largest first.
	maxUpstreams = 64
)

type reader struct {
	host   *sampler.Host
	spaces namespaces
	own    uint64 // inode of headroom's own network namespace; 0 if not known
	diag   *diag  // nil if inet_diag is not available
	table  *table
	// next is the time of the next allowed full step.
	next  time.Time
	took  time.Duration // duration of the last full step
	shown map[entry]*upstream
	count int // number of full steps
	buf   []byte
}

// An entry is one tuple of one namespace.
type entry struct {
	space uint64
	tuple tuple
}

// An upstream is a tuple that was written.
type upstream struct {
	id    observe.ID
	owner observe.ID // observe.None if not known
	// described is the owner in its description.
	described observe.ID
	look      int // the last one that wrote it
}

func open(h *sampler.Host) (sampler.Reader, error) {
	r := &reader{host: h, table: newTable(), shown: make(map[entry]*upstream), buf: make([]byte, 32<<10)}
	r.own, _ = spaceOf(h.Proc + "/self")
	r.spaces.proc = h.Proc
	if err := r.spaces.scan(); err != nil {
		return nil, fmt.Errorf("look for network namespaces: %w", err)
	}
	if len(r.spaces.found) == 0 {
		return nil, sampler.NotSupported("run as root, or with CAP_SYS_PTRACE", "no process's network namespace may be looked at")
	}
	r.diag, _ = newDiag() // without inet_diag the sockets are read from /proc
	return r, nil
}

// Read implements sampler.Reader.
func (r *reader) Read(s *observe.Snapshot) error {
	if err := r.spaces.refresh(); err != nil {
		return fmt.Errorf("look for network namespaces: %w", err)
	}
	r.spaces.gaps(s)
	r.end(s)
	now := time.Now()
	if now.Before(r.next) || !r.host.Turn(r.took) {
		return nil
	}
	looked := false
	for _, n := range r.spaces.found {
		if sockets := n.sockets(r.host.Proc, r.buf); sockets < fewestSockets {
			continue
		} else if set := n.setting(r.host.Proc, n.inode == r.own); float64(sockets) < worthShare*set.ports() {
			continue
		}
		looked = true
		r.look(s, n)
	}
	took := time.Since(now)
	if looked {
		r.took = took
	}
	r.next = now.Add(r.host.Rest(rest * took))
	return nil
}

// look reads the sockets of a namespace and writes the tuples that use many ports.
func (r *reader) look(s *observe.Snapshot, n *namespace) {
	r.count++
	r.table.reset(n.set)
	if err := r.read(n); err != nil {
		if !errors.Is(err, errGone) {
			s.Gap(name, fmt.Sprintf("cannot read the connections of a network namespace: %v", err), "")
		}
		return
	}
	if r.table.cut {
		s.Gap(name, fmt.Sprintf("a network namespace has more sockets than can be read in %v: the number of its ports in use is too low", maxLook), "")
	}
	large := r.table.largest(max(1, worthShare*n.set.ports()), maxUpstreams)
	r.findOwners(n, large)
	for _, u := range large {
		id := r.upstream(n, u.tuple)
		s.Set(catalog.UpstreamPorts, id, float64(u.used()))
		s.Set(catalog.UpstreamTimeWait, id, float64(u.timeWait))
		s.Set(catalog.UpstreamPortLimit, id, n.set.ports())
	}
	for e, u := range r.shown {
		if e.space == n.inode && u.look != r.count {
			s.End(u.id, "few connections")
			delete(r.shown, e)
		}
	}
}

func (r *reader) read(n *namespace) error {
	if n.inode == r.own && r.diag != nil {
		if err := r.diag.read(r.table); err == nil {
			return nil
		}
		r.table.reset(n.set)
	}
	return n.tables(r.host.Proc, r.table)
}

// end ends the upstreams of namespaces that are gone.
func (r *reader) end(s *observe.Snapshot) {
	for e, u := range r.shown {
		if r.spaces.by[e.space] == nil {
			s.End(u.id, "network namespace gone")
			delete(r.shown, e)
		}
	}
}

// Close implements sampler.Reader.
func (r *reader) Close() error {
	if r.diag != nil {
		r.diag.close()
	}
	return nil
}
