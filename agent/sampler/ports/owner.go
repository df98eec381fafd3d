// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"fmt"
	"os"
	"slices"
	"strconv"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

const (
	// maxOwnerDescriptors is the maximum number of descriptors read in one search for
	// owners, about 10 ms; the next search continues where it stopped.
	maxOwnerDescriptors = 8192
	// maxOwnerProcesses is the same limit for processes.
	maxOwnerProcesses = 256
	// maxCommon is the maximum number of processes whose common cgroup is determined.
	maxCommon = 64
)

// findOwners searches the owners of large tuples that have none yet.
func (r *reader) findOwners(n *namespace, large []*tally) {
	unknown := make(map[tuple]bool)
	for _, t := range large {
		if u := r.show(n, t.tuple); u.owner == observe.None || !r.alive(n, u.owner) {
			u.owner = observe.None
			unknown[t.tuple] = true
		}
	}
	if len(unknown) == 0 {
		return
	}
	owners := make(map[tuple]observe.ID)
	if pid, ok := n.only(); ok {
		if id, ok := r.host.Identity.Current(pid); ok {
			for t := range unknown {
				owners[t] = id
			}
		}
	} else {
		r.holders(n, unknown, owners)
	}
	for t, id := range owners {
		r.show(n, t).owner = id
	}
}

// only returns the only process of a namespace apart from headroom itself.
func (n *namespace) only() (pid int, ok bool) {
	others := 0
	for _, p := range n.pids {
		if p != os.Getpid() {
			pid = p
			others++
		}
	}
	return pid, others == 1
}

// alive reports whether the last scan found an owner.
func (r *reader) alive(n *namespace, owner observe.ID) bool {
	pid, err := strconv.Atoi(r.host.Index.Attr(owner, catalog.AttrPID))
	return err == nil && slices.Contains(n.pids, pid)
}

// holders searches for processes that hold live connections of some tuples. The
// process with the most wins.
func (r *reader) holders(n *namespace, unknown map[tuple]bool, owners map[tuple]observe.ID) {
	inodes := make(map[uint64]tuple)
	for _, s := range r.table.live {
		if unknown[s.tuple] {
			inodes[s.inode] = s.tuple
		}
	}
	most := make(map[tuple]int)
	budget := maxOwnerDescriptors
	for range min(len(n.pids), maxOwnerProcesses) {
		if len(inodes) == 0 || budget <= 0 {
			return
		}
		n.turn = (n.turn + 1) % len(n.pids)
		pid := n.pids[n.turn]
		held := make(map[tuple]int)
		read, _ := sampler.Sockets(r.host.Proc+"/"+strconv.Itoa(pid)+"/fd", budget, func(inode uint64) { //nolint:errcheck // it has ended
			if t, ok := inodes[inode]; ok {
				held[t]++
				delete(inodes, inode)
			}
		})
		budget -= read
		for t, count := range held {
			if id, ok := r.host.Identity.Current(pid); ok && count > most[t] {
				most[t], owners[t] = count, id
			}
		}
	}
}

// show returns the upstream of a tuple that is written.
func (r *reader) show(n *namespace, t tuple) *upstream {
	key := entry{n.inode, t}
	u := r.shown[key]
	if u == nil {
		u = &upstream{id: observe.None, owner: observe.None}
		r.shown[key] = u
	}
	return u
}

// upstream interns and describes a tuple, and describes it again when its owner
// becomes known. Two namespaces can use the same addresses: an ID outside
// headroom's own namespace includes the namespace's number.
func (r *reader) upstream(n *namespace, t tuple) observe.ID {
	u := r.show(n, t)
	u.look = r.count
	if u.id != observe.None && u.described == u.owner {
		return u.id
	}
	id := t.label()
	if n.inode != r.own {
		id += fmt.Sprintf(" in net:[%d]", n.inode)
	}
	info := observe.Info{Attrs: map[string]string{
		catalog.AttrSource:      t.source.String(),
		catalog.AttrDestination: t.destination.String(),
		catalog.AttrDestPort:    strconv.Itoa(int(t.port)),
	}}
	if n.set.reuses(t) {
		info.Attrs[catalog.AttrTimeWaitReused] = "true"
	}
	if n.set.assumed {
		info.Attrs[catalog.AttrPortsAssumed] = "true"
	}
	if parent := r.parent(n, u.owner); parent != observe.None {
		info.Parent = r.host.Index.Entity(parent)
	}
	u.id = r.host.Index.ID(observe.Entity{Kind: observe.Upstream, ID: id})
	r.host.Index.Describe(u.id, info)
	u.described = u.owner
	return u.id
}

// parent returns the owner, or the innermost cgroup of all processes of another
// namespace: its pod or container.
func (r *reader) parent(n *namespace, owner observe.ID) observe.ID {
	if owner != observe.None || n.inode == r.own {
		return owner
	}
	common := observe.None
	for _, pid := range n.pids[:min(maxCommon, len(n.pids))] {
		id, ok := r.host.Identity.Current(pid)
		if !ok {
			continue
		}
		if common == observe.None {
			common, _ = r.host.Index.Ancestor(id, observe.Cgroup)
			continue
		}
		for common != observe.None && !r.host.Index.Within(id, common) {
			common, _ = r.host.Index.Parent(common)
		}
	}
	return common
}
