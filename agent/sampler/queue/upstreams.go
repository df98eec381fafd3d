// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/procread"
	"github.com/headroom-project/headroom/agent/sampler"
)

const (
	// maxWorkers is the maximum number of workers of one broker whose own connections are
	// read, and maxServers of processes that serve them.
	maxWorkers, maxServers = 64, 64
)

// upstreams are the processes of this host that serve the workers of a broker: the
// backends of a database. They are found in headroom's own network namespace.
type upstreams struct {
	known map[ends]*upstream
}

// ends are the addresses of a connection, that of the worker first.
type ends struct{ worker, server netip.AddrPort }

// An upstream is a connection of a worker to another server than the broker.
type upstream struct {
	worker observe.ID
	server owner
	inode  uint64 // of the socket of the server
	seen   bool
}

// A server is a process that serves a worker.
type server struct {
	worker, id observe.ID
	waits      bool // for another process
}

// serve finds the processes that serve the clients that consume.
func (c *clients) serve(own string, all []client) error {
	c.served.forget()
	workers := make(map[int]observe.ID)
	for _, k := range all {
		if k.process.id != observe.None && k.space == own && !k.publishes() && len(workers) < maxWorkers {
			workers[k.process.pid] = k.process.id
		}
	}
	if len(workers) == 0 {
		return nil
	}
	sockets, err := ownConnections(0, 0)
	if err != nil {
		return err
	}
	listening, err := ownSockets(procread.Listening, 0, 0)
	if err != nil {
		return err
	}
	c.served.find(c, workers, sockets, listening)
	return c.own(own)
}

// forget drops the connections that the last look did not see.
func (u *upstreams) forget() {
	for e, k := range u.known {
		if !k.seen {
			delete(u.known, e)
		}
		k.seen = false
	}
}

// find records the connections of workers to ports of this host that listen.
func (u *upstreams) find(c *clients, workers map[int]observe.ID, sockets, listening []connection) {
	if u.known == nil {
		u.known = make(map[ends]*upstream)
	}
	listens := make(map[uint16]bool)
	for _, l := range listening {
		listens[l.local.Port()] = true
	}
	byInode, byEnds := make(map[uint64]connection), make(map[ends]uint64)
	for _, s := range sockets {
		byInode[s.inode], byEnds[ends{s.remote, s.local}] = s, s.inode
	}
	for pid, id := range workers {
		_, _ = sampler.Sockets(filepath.Join(c.proc, strconv.Itoa(pid), "fd"), maxSearched, func(inode uint64) { //nolint:errcheck // it has ended
			s, ok := byInode[inode]
			if !ok || s.remote.Port() == c.port || !listens[s.remote.Port()] || listens[s.local.Port()] {
				return
			}
			e := ends{s.local, s.remote}
			if at := byEnds[e]; at != 0 {
				u.see(e, id, at)
			}
		})
	}
}

func (u *upstreams) see(e ends, worker observe.ID, inode uint64) {
	k := u.known[e]
	if k == nil {
		if len(u.known) >= maxServers {
			return
		}
		k = &upstream{worker: worker, inode: inode, server: owner{id: observe.None}}
		u.known[e] = k
	}
	k.seen = true
}

// own finds the processes of the servers' sockets.
func (c *clients) own(space string) error {
	wanted := make(map[uint64]*owner)
	for _, k := range c.served.known {
		if k.seen && k.server.id == observe.None {
			wanted[k.inode] = &k.server
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	spaces, pids, err := namespacesOf(c.proc)
	if err != nil {
		return err
	}
	c.search(spaces, pids, map[string]map[uint64]*owner{space: wanted})
	return nil
}

// servers returns the processes that serve the workers now.
func (u *upstreams) servers(proc string) []server {
	var all []server
	for _, k := range u.known {
		if k.seen && k.server.id != observe.None {
			all = append(all, server{k.worker, k.server.id, waitsForOther(filepath.Join(proc, strconv.Itoa(k.server.pid)))})
		}
	}
	return all
}

// waitsForOther reports whether a process of one thread sleeps in epoll_wait without a
// timeout, and no socket can wake it: a backend of PostgreSQL waits like that for a lock, and with
// its client's socket for the next query.
func waitsForOther(dir string) bool {
	if threads, err := os.ReadDir(dir + "/task"); err != nil || len(threads) != 1 {
		return false // another thread may serve
	}
	const noTimeout = int32(-1)
	call, ok := procread.ReadCall(filepath.Join(dir, "syscall"))
	if name := call.Name(); !ok || name != "epoll_wait" && name != "epoll_pwait" || int32(call.Args[3]) != noTimeout {
		return false
	}
	targets := procread.EpollTargets(filepath.Join(dir, "fdinfo", strconv.FormatUint(call.Args[0], 10)))
	for _, fd := range targets {
		if to, err := os.Readlink(filepath.Join(dir, "fd", strconv.Itoa(fd))); err != nil || strings.HasPrefix(to, "socket:") {
			return false
		}
	}
	return len(targets) > 0
}

// writeServers writes which processes serve the workers, and for how long they did.
func (q *queues) writeServers(s *observe.Snapshot, all []server, seconds float64) {
	now := make(map[observe.Pair]float64, len(all))
	for _, v := range all {
		pair := observe.Pair{A: v.worker, B: v.id}
		now[pair] = q.upstream[pair] + seconds
		s.SetPair(catalog.QueueUpstreamTime, v.worker, v.id, now[pair])
		waits := 0.0
		if v.waits {
			waits = 1
		}
		s.Set(catalog.QueueUpstreamWaits, v.id, waits)
	}
	q.upstream = now
}
