// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

const (
	// maxConnections is the maximum number of connections of one broker that are joined
	// to processes: a worker has one or two.
	maxConnections = 5000
	// maxSearched is the maximum number of descriptors read in one search for the
	// processes at the other ends, about 10 ms; the next search continues where it stopped.
	maxSearched = 8192
	// maxNamespaces is the maximum number of other network namespaces whose connections
	// are read in one look, one for each pod of a full node.
	maxNamespaces = 300
	// lookRest is the pause after a look, as a multiple of the time that it took.
	lookRest = 200
)

// clients are the connections to one broker, joined to the processes at the other end.
// One question to the broker at a time uses them.
type clients struct {
	proc     string
	identity sampler.Identity
	pid      int
	port     uint16
	known    map[netip.AddrPort]*client
	next     time.Time // of the next look
	turn     int       // the process at which the search for owners continues
	served   upstreams
	// chosen are the only connections that are looked at, nil for all.
	chosen map[netip.AddrPort]bool
}

// An owner is the process that has a socket; id is None as long as it is not known.
type owner struct {
	id  observe.ID
	pid int
}

// A client is one connection to the broker.
type client struct {
	process owner
	inode   uint64     // of the socket of the client; 0 if it is not on this host
	space   string     // its network namespace
	now     connection // as the client sees it
	// sent are the bytes that it sent between the last two looks.
	sent uint64
	seen bool
	// consumes is set if it is known that the client consumes.
	consumes bool
}

func newClients(h *sampler.Host, pid int, port uint16) *clients {
	return &clients{proc: h.Proc, identity: h.Identity, pid: pid, port: port, known: make(map[netip.AddrPort]*client)}
}

// look reads the connections again, and returns them; nil if that is not due yet. An
// error means that they are not known.
func (c *clients) look(now time.Time) ([]client, error) {
	if now.Before(c.next) {
		return nil, nil
	}
	defer func() { c.next = now.Add(lookRest * time.Since(now)) }()
	own, err := os.Readlink(filepath.Join(c.proc, "self/ns/net"))
	if err != nil {
		return nil, err
	}
	for _, k := range c.known {
		k.seen = false
	}
	if err := c.accepted(own); err != nil {
		return nil, err
	}
	for at, k := range c.known {
		if !k.seen {
			delete(c.known, at)
		}
	}
	if err := c.join(own); err != nil {
		return nil, err
	}
	all := make([]client, 0, len(c.known))
	for _, k := range c.known {
		all = append(all, *k)
	}
	return all, c.serve(own, all)
}

// accepted reads the connections as the broker sees them.
func (c *clients) accepted(own string) error {
	theirs, err := os.Readlink(filepath.Join(c.proc, strconv.Itoa(c.pid), "ns/net"))
	if err != nil {
		return err
	}
	if theirs != own {
		return connectionsOf(c.proc, c.pid, func(s connection) {
			if s.local.Port() == c.port && len(c.known) < maxConnections {
				c.see(s)
			}
		})
	}
	all, err := ownConnections(c.port, 0)
	for _, s := range all {
		c.see(s)
	}
	return err
}

// see records a connection as the broker sees it.
func (c *clients) see(s connection) {
	if c.chosen != nil && !c.chosen[s.remote] {
		return
	}
	k := c.known[s.remote]
	if k == nil {
		k = &client{process: owner{id: observe.None}, consumes: c.chosen != nil}
		c.known[s.remote] = k
	}
	k.seen = true
	k.count(connection{local: s.remote, remote: s.local, sent: s.received, received: s.sent, counted: s.counted})
}

func (k *client) count(now connection) {
	if k.now.counted && now.sent >= k.now.sent {
		k.sent = now.sent - k.now.sent
	}
	k.now = now
}

// join finds the processes of connections that have none yet.
func (c *clients) join(own string) error {
	missing := 0
	for _, k := range c.known {
		if k.process.id == observe.None {
			missing++
		}
	}
	if missing == 0 {
		return nil
	}
	spaces, pids, err := namespacesOf(c.proc)
	if err != nil {
		return err
	}
	if all, err := ownConnections(0, c.port); err == nil {
		for _, s := range all {
			c.end(s, own)
		}
	}
	for space, members := range spaces {
		if space != own {
			_ = connectionsOf(c.proc, members[0], func(s connection) { c.end(s, space) }) //nolint:errcheck // it has ended
		}
	}
	wanted := make(map[string]map[uint64]*owner)
	for _, k := range c.known {
		if k.process.id == observe.None && k.inode != 0 {
			if wanted[k.space] == nil {
				wanted[k.space] = make(map[uint64]*owner)
			}
			wanted[k.space][k.inode] = &k.process
		}
	}
	c.search(spaces, pids, wanted)
	return nil
}

// end records the end of a connection that the client has.
func (c *clients) end(s connection, space string) {
	if k := c.known[s.local]; k != nil && k.inode == 0 {
		k.inode, k.space = s.inode, space
	}
}

// namespacesOf groups the processes of the host by their network namespace.
func namespacesOf(proc string) (spaces map[string][]int, pids []int, err error) {
	all, err := sampler.PIDs(proc)
	if err != nil {
		return nil, nil, err
	}
	spaces = make(map[string][]int)
	for _, pid := range all {
		space, err := os.Readlink(filepath.Join(proc, strconv.Itoa(pid), "ns/net"))
		if err != nil || spaces[space] == nil && len(spaces) > maxNamespaces {
			continue
		}
		spaces[space] = append(spaces[space], pid)
		pids = append(pids, pid)
	}
	slices.Sort(pids)
	return spaces, pids, nil
}

// search looks for the processes that have sockets, by network namespace.
func (c *clients) search(spaces map[string][]int, pids []int, wanted map[string]map[uint64]*owner) {
	in := make(map[int]map[uint64]*owner)
	for space, inodes := range wanted {
		for _, pid := range spaces[space] {
			in[pid] = inodes
		}
	}
	left := maxSearched
	first, _ := slices.BinarySearch(pids, c.turn)
	for i := range pids {
		pid := pids[(first+i)%len(pids)]
		inodes := in[pid]
		if len(inodes) == 0 || pid == c.pid {
			continue
		}
		if c.turn = pid; left <= 0 {
			return
		}
		n, _ := sampler.Sockets(filepath.Join(c.proc, strconv.Itoa(pid), "fd"), maxSearched, func(inode uint64) { //nolint:errcheck // it has ended
			if o := inodes[inode]; o != nil {
				if id, ok := c.identity.Current(pid); ok {
					*o = owner{id, pid}
					delete(inodes, inode)
				}
			}
		})
		left -= n
	}
	c.turn = 0 // a process that forks is found before its children, which have its sockets, too
}
