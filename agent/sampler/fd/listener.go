// SPDX-License-Identifier: Apache-2.0

package fd

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// A socket identifies a listening socket while it exists.
type socket struct {
	netns, inode uint64
}

// A listener is a listening TCP socket.
type listener struct {
	id    observe.ID
	local netip.AddrPort
	owner observe.ID // the process that it belongs to, in the index
	round int        // the last pass that saw it
	pid   int        // of the holder in that pass
	start uint64

	queue, backlog, drops uint32
	// somaxconn is the limit of backlogs in the network namespace, 0 if not known.
	somaxconn uint32
	// limited and dropped are set if backlog and drops are known.
	limited, dropped bool
	// lost is the number of connections dropped, of the discarded packets that drops
	// counted in the last pass.
	lost      uint64
	discarded uint32
	counted   bool
	// burst is the most connections that wanted to wait at a time; it is known if bursting
	// is set.
	burst    int
	bursting bool
}

// listener returns the listener that pid holds, nil if the limit is reached. A
// listener with several holders belongs to the first, which usually passed it on to
// the others. The init process is excluded: it opens sockets for its services.
func (r *reader) listener(key socket, local netip.AddrPort, p *process) *listener {
	l := r.listeners[key]
	if l == nil {
		if len(r.listeners) >= maxListeners {
			r.unlisted++
			return nil
		}
		l = &listener{id: observe.None, owner: observe.None}
		r.listeners[key] = l
	}
	if l.round != r.round || l.pid == initPID {
		l.pid, l.start = p.pid, p.start
	}
	l.round = r.round
	if l.local != local || l.id == observe.None {
		l.local, l.owner = local, observe.None
		l.id = r.index.ID(observe.Entity{Kind: observe.Listener, ID: fmt.Sprintf("%s#%d", local, key.inode)})
	}
	return l
}

// initPID is the pid of systemd or another init process.
const initPID = 1

// writeListeners writes the listeners that the pass saw and ends the others.
func (r *reader) writeListeners(s *observe.Snapshot) {
	for key, l := range r.listeners {
		if l.round != r.round {
			s.End(l.id, "closed")
			delete(r.listeners, key)
			continue
		}
		if !r.own(l) {
			continue
		}
		s.Set(catalog.ListenerQueue, l.id, float64(l.queue))
		if l.limited {
			s.Set(catalog.ListenerBacklog, l.id, float64(l.backlog))
		}
		if l.somaxconn > 0 {
			s.Set(catalog.ListenerSomaxconn, l.id, float64(l.somaxconn))
		}
		if l.bursting {
			s.Set(catalog.ListenerBurst, l.id, float64(l.burst))
		}
		if l.dropped {
			r.watchDrops(key, l)
			s.Set(catalog.ListenerDrops, l.id, float64(l.lost))
		}
	}
	r.keepAccounts()
}

// own describes a listener again if its owner changed. It returns false if the
// owner is gone.
func (r *reader) own(l *listener) bool {
	owner, ok := r.identity.Process(l.pid, l.start)
	if !ok || owner == observe.None {
		return false
	}
	if owner != l.owner {
		l.owner = owner
		r.index.Describe(l.id, observe.Info{Parent: r.index.Entity(owner), Attrs: map[string]string{
			catalog.AttrAddress: l.local.Addr().String(),
			catalog.AttrPort:    strconv.Itoa(int(l.local.Port())),
		}})
	}
	return true
}
